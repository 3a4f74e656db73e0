//! Writes: who may, what to the store, and that no cache anywhere has the old object when the client hears
//! of success.
//!
//! ```text
//! token → operation → body → store → purged here and at the peers, and in the log → answer
//! ```
//!
//! The store's part is `store::upload` and `store::passthrough`. Everything after the token runs in a task
//! of its own: what the store has must also be purged when the client has left meanwhile. What a client
//! leaves half-way is not stored, see [`body`].

mod answer;
mod body;
mod description;
mod error;
mod form;
mod operation;
mod parts;

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, Response};
use percent_encoding::utf8_percent_encode;
use tokio_util::sync::CancellationToken;

use self::answer::Done;
use self::body::Pieces;
use self::description::Precondition;
pub use self::error::WriteError;
use self::form::File;
use self::operation::Operation;
pub(crate) use self::operation::is_write;
use super::Miss;
use crate::cache::key;
use crate::cache::purge::Purge;
use crate::cache::status::CacheStatus;
use crate::error::Error;
use crate::metrics::{PurgeSource, WriteKind, WriteResult};
use crate::mount::{Mount, Writes};
use crate::origin::RequestBody;
use crate::origin::http_server::PATH;
use crate::purge_log::answer::PurgeAnswer;
use crate::respond::body::AssetBody;
use crate::server::Inner;
use crate::store::digest::Expected;
use crate::store::{Condition, StoreError, Upload};

impl Inner {
    /// Answers a write.
    pub(crate) async fn write(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        body: RequestBody,
    ) -> Response<AssetBody> {
        let mount = &miss.mount;
        let (kind, written) = self.try_write(request, miss, body).await;
        let result = match &written {
            Ok(done) if done.is_pending() => WriteResult::Pending,
            Ok(_) => WriteResult::Done,
            Err(error) if error.verdict().0.is_server_error() => WriteResult::Failed,
            Err(_) => WriteResult::Refused,
        };
        self.cache.metrics.writes.count(kind, result);
        let mut response = match written {
            Ok(done) => {
                self.cache.metrics.request(CacheStatus::Method);
                done.respond()
            }
            Err(error) => {
                if result == WriteResult::Failed {
                    tracing::warn!(mount = mount.path, error = ?error, "a write has failed");
                }
                self.problem(request, &Error::Write(Arc::new(error)), CacheStatus::Method)
            }
        };
        self.dress(request, mount, &mut response);
        response
    }

    async fn try_write(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        body: RequestBody,
    ) -> (WriteKind, Result<Done, WriteError>) {
        // `first` sends only requests to mounts that take writes.
        let Some(writes) = miss.mount.writes.clone() else {
            return (WriteKind::Other, Err(WriteError::Method));
        };
        let (method, query) = (&request.method, request.uri.query());
        let operation = Operation::of(method, &miss.path, query);
        let kind = operation.as_ref().map_or(WriteKind::Other, Operation::kind);
        // Whoever has no token learns nothing else.
        if let Err(error) = authorise(&request.headers, &writes) {
            return (kind, Err(error));
        }
        let operation = match operation {
            Ok(operation) => operation,
            Err(error) => return (kind, Err(error)),
        };
        let gone = CancellationToken::new();
        let _gone_when_dropped = gone.clone().drop_guard();
        let write = Write {
            inner: self.clone(),
            mount: miss.mount.clone(),
            writes,
            path: miss.path.to_string(),
            headers: request.headers.clone(),
        };
        let written = tokio::spawn(write.run(operation, body, gone)).await;
        let written =
            written.unwrap_or_else(|panic| Err(StoreError::Unreachable(panic.into()).into()));
        (kind, written)
    }
}

/// RFC 6750 section 2.1.
fn authorise(headers: &HeaderMap, writes: &Writes) -> Result<(), WriteError> {
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, token) = value
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(WriteError::TokenMissing);
    }
    match writes.settings.token.matches(token.trim()) {
        true => Ok(()),
        false => Err(WriteError::TokenWrong),
    }
}

/// One write that may happen.
struct Write {
    inner: Arc<Inner>,
    mount: Arc<Mount>,
    writes: Arc<Writes>,
    /// Path of the object, or of the prefix that a form is sent to; normal, mount included.
    path: String,
    headers: HeaderMap,
}

impl Write {
    async fn run(
        mut self,
        operation: Operation,
        body: RequestBody,
        gone: CancellationToken,
    ) -> Result<Done, WriteError> {
        let limit = match operation {
            // The form around the file.
            Operation::Form => self.max_size().saturating_add(1 << 20),
            _ => self.max_size(),
        };
        let length = description::length(&self.headers)?;
        if length.is_some_and(|length| length > limit) {
            return Err(WriteError::TooLarge(self.max_size()));
        }
        let body = body::pieces(body, limit, self.writes.idle_timeout, gone);
        match operation {
            Operation::Put => {
                let headers = std::mem::take(&mut self.headers);
                self.put(&headers, length, body, false).await
            }
            Operation::Form => self.form(body).await,
            Operation::Delete => self.delete().await,
            Operation::Begin => self.begin().await,
            Operation::Part { upload, number } => self.part(upload, number, length, body).await,
            Operation::List(upload) => self.list(upload).await,
            Operation::Complete(upload) => self.complete(upload, body).await,
            Operation::Abort(upload) => self.abort(upload).await,
        }
    }

    /// The body is the object; `headers` are about it.
    async fn put(
        &self,
        headers: &HeaderMap,
        length: Option<u64>,
        body: Pieces,
        is_form: bool,
    ) -> Result<Done, WriteError> {
        description::refuse_other_bodies(headers)?;
        let attributes = description::attributes(headers)?;
        let expected = Expected::of(headers)?;
        let precondition = Precondition::of(headers)?;
        let key = self.key();
        let (condition, created) = precondition.ask(&*self.writes.store, &key).await?;
        let upload = Upload {
            key,
            attributes,
            length,
            condition,
            expected,
        };
        let sent = upload.send(self.writes.store.clone(), body).await;
        let sent = sent.map_err(|error| WriteError::of(error, self.max_size()));
        let (uploaded, purge) = self.and_purge(sent).await?;
        Ok(Done::Written {
            created: is_form || created == Some(true),
            location: self.location(),
            path: self.path.clone(),
            uploaded,
            purge,
        })
    }

    /// The body is a form with the object in it.
    async fn form(mut self, body: Pieces) -> Result<Done, WriteError> {
        if !Expected::of(&self.headers)?.is_empty() {
            return Err(WriteError::Form(
                "a checksum belongs to the file's part of the form",
            ));
        }
        let file = File::of(&self.headers, body, self.max_size()).await?;
        let path = format!("{}{}", self.path, file.name);
        // As a URL has it, so that what is refused there is refused here.
        self.path = key::normalize(&path.replace('%', "%25"))?.into_owned();
        let served_by = self.inner.mounts.find(&self.path);
        if served_by.is_none_or(|mount| mount.path != self.mount.path) {
            return Err(WriteError::Form(
                "the path of the file belongs to another mount",
            ));
        }
        let mut headers = file.headers;
        // That of the part: its name in the form.
        headers.remove(CONTENT_DISPOSITION);
        headers.remove(CONTENT_LENGTH);
        for name in [IF_MATCH, IF_NONE_MATCH] {
            headers.remove(&name);
            for value in self.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        self.put(&headers, None, file.pieces, true).await
    }

    async fn delete(&self) -> Result<Done, WriteError> {
        let key = self.key();
        let store = &self.writes.store;
        let version = match Precondition::of(&self.headers)? {
            Precondition::None => None,
            Precondition::Absent => {
                return Err(WriteError::Request("what is absent cannot be deleted"));
            }
            precondition => match precondition.ask(&**store, &key).await?.0 {
                Condition::Match(etag) if etag != "*" => Some(etag),
                _ => None,
            },
        };
        let deleted = store.delete(&key, version.as_deref()).await;
        let ((), purge) = self.and_purge(deleted.map_err(WriteError::from)).await?;
        Ok(Done::Deleted { purge })
    }

    /// Purges the object everywhere if it has, or may have, changed.
    async fn and_purge<T>(
        &self,
        written: Result<T, WriteError>,
    ) -> Result<(T, PurgeAnswer), WriteError> {
        let written = match written {
            Err(error) if !error.may_be_done() => return Err(error),
            written => written,
        };
        let purges = vec![Purge::Key(self.path.clone())];
        let wait = self.writes.settings.wait;
        let purge = self
            .inner
            .purges
            .everywhere(purges, wait, PurgeSource::Write)
            .await;
        written.map(|written| (written, purge))
    }

    /// Key of the object in the store.
    fn key(&self) -> String {
        self.path
            .strip_prefix(&self.mount.path)
            .unwrap_or_default()
            .to_owned()
    }

    fn location(&self) -> String {
        utf8_percent_encode(&self.path, PATH).to_string()
    }

    fn max_size(&self) -> u64 {
        self.writes.settings.max_size
    }
}
