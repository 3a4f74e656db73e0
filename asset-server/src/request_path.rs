//! The path of one request, from the method to the body.
//!
//! ```text
//! method → key → mount → memory ── fresh ───────────────────────────→ respond
//!                           └ else → coalesce → (disk ▸ origin) → head → respond, bytes follow
//! ```
//!
//! Up to a fresh entry in memory everything is synchronous: no task, no await, no lock of our own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ALLOW, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serving::problem::Problem;

use crate::cache::coalesce::Role;
use crate::cache::entry::{Entry, Meta, Presence};
use crate::cache::fill::Head;
use crate::cache::filling::Filling;
use crate::cache::freshness::{Freshness, Lookup};
use crate::cache::key::{CacheKey, KeyError};
use crate::cache::status::{CacheStatus, Staleness};
use crate::error::Error;
use crate::mount::Mount;
use crate::origin::{OriginAnswer, OriginObject, OriginRequest, Want};
use crate::respond::body::AssetBody;
use crate::respond::pieces::OriginPieces;
use crate::respond::{Answer, Bytestream, CACHE_STATUS};
use crate::server::Inner;
use crate::signed_url::Refusal;
use crate::site;

/// What the synchronous part comes to.
pub(crate) enum First {
    /// A response.
    Done(Response<AssetBody>),
    /// The key is not fresh in memory.
    Miss(Miss),
}

/// A request that must wait.
pub(crate) struct Miss {
    mount: Arc<Mount>,
    key: CacheKey,
}

impl Miss {
    pub(crate) fn new(mount: Arc<Mount>, key: CacheKey) -> Self {
        Self { mount, key }
    }
}

impl Inner {
    /// Method, key, mount, memory.
    pub(crate) fn first(&self, request: &Parts) -> First {
        match self.try_first(request) {
            Ok(first) => first,
            Err(error) => First::Done(self.problem(request, &error, CacheStatus::Error)),
        }
    }

    fn try_first(&self, request: &Parts) -> Result<First, Error> {
        let path = site::normalize(request.uri.path())?;
        let mount = self.mounts.find(&path).ok_or(Error::NoMount)?;
        if let Some(response) = self.admit(request, mount, &path) {
            return Ok(First::Done(response));
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Error::Method);
        }
        let site = mount.delivery.site.as_ref();
        let first = match site {
            Some(site) => site.first(&path),
            None if path.ends_with('/') => return Err(Error::Key(KeyError::Directory)),
            None => Cow::Borrowed(&*path),
        };
        // In a site, that there is no such object is not the end.
        let usable = |entry: &Arc<Entry>| site.is_none() || entry.meta.presence == Presence::Object;
        if let Some(entry) = self.cache.memory.get(&first).filter(usable) {
            let now = SystemTime::now();
            if let Lookup::Hit { .. } = entry.meta.freshness.lookup(now) {
                let mut response =
                    self.respond_with(request, mount, &first, &entry, CacheStatus::Hit, now);
                self.dress(request, mount, &mut response);
                return Ok(First::Done(response));
            }
        }
        Ok(First::Miss(Miss::new(mount.clone(), CacheKey::new(&path))))
    }

    /// Everything that waits.
    pub(crate) async fn then(self: &Arc<Self>, request: &Parts, miss: Miss) -> Response<AssetBody> {
        let mut response = match &miss.mount.delivery.site {
            Some(site) => {
                self.visit(request, &miss.mount, site, miss.key.as_str())
                    .await
            }
            None => self.miss(request, &miss).await,
        };
        self.dress(request, &miss.mount, &mut response);
        response
    }

    /// One key that is not fresh in memory.
    pub(crate) async fn miss(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
    ) -> Response<AssetBody> {
        let answered = if request.method == Method::HEAD && !self.holds(&miss.key) {
            self.head_from_origin(request, miss).await
        } else {
            self.join_fill(request, miss).await
        };
        answered.unwrap_or_else(|error| self.problem(request, &error, CacheStatus::Error))
    }

    async fn join_fill(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
    ) -> Result<Response<AssetBody>, Error> {
        let (fill, role) = self.cache.fills.join_or_lead(miss.key.as_str());
        if role == Role::Leader {
            let (cache, mount, key) = (self.cache.clone(), miss.mount.clone(), miss.key.clone());
            // A task of its own: whoever leaves, the others go on.
            tokio::spawn(Filling::begin(cache, mount, key, fill.clone()).run());
        }
        let led = |status| match (role, status) {
            (Role::Joiner, CacheStatus::UriMiss | CacheStatus::Stale) => CacheStatus::Collapsed,
            (_, status) => status,
        };
        match fill.head().await {
            Head::Object { meta, status } => {
                let status = led(status);
                let answer = self.answer(
                    &miss.mount,
                    miss.key.as_str(),
                    &meta,
                    Bytestream::Arriving(fill),
                    status,
                    SystemTime::now(),
                );
                Ok(self.count(answer, request))
            }
            Head::Entry { entry, status } => {
                let now = SystemTime::now();
                Ok(self.respond_with(
                    request,
                    &miss.mount,
                    miss.key.as_str(),
                    &entry,
                    led(status),
                    now,
                ))
            }
            Head::Unshared => match fill.take_unshared() {
                Some(object) => Ok(self.pass_through(request, miss, object)),
                None => self.ask_alone(request, miss).await,
            },
            Head::Failed(error) => Err(Error::Origin(error)),
        }
    }

    /// An object that is not kept: each request asks for itself.
    async fn ask_alone(&self, request: &Parts, miss: &Miss) -> Result<Response<AssetBody>, Error> {
        match self.fetch(miss, Want::Body).await? {
            Some(object) => Ok(self.pass_through(request, miss, object)),
            None => Err(Error::NotFound),
        }
    }

    /// HEAD for what we do not hold asks the origin for the head alone: no fill for a question.
    async fn head_from_origin(
        &self,
        request: &Parts,
        miss: &Miss,
    ) -> Result<Response<AssetBody>, Error> {
        match self.fetch(miss, Want::Head).await? {
            Some(object) => Ok(self.pass_through(request, miss, object)),
            None => Err(Error::NotFound),
        }
    }

    async fn fetch(&self, miss: &Miss, want: Want) -> Result<Option<OriginObject>, Error> {
        let request = OriginRequest {
            key: miss.mount.object_key(&miss.key),
            want,
            unless: None,
            only_if: None,
        };
        match miss.mount.origin.fetch(request).await {
            Ok(OriginAnswer::Found(object)) => Ok(Some(object)),
            Ok(_) => Ok(None),
            Err(error) => Err(Error::Origin(Arc::new(error))),
        }
    }

    fn pass_through(
        &self,
        request: &Parts,
        miss: &Miss,
        object: OriginObject,
    ) -> Response<AssetBody> {
        let now = SystemTime::now();
        let freshness = Freshness::for_span(std::time::Duration::ZERO, now);
        let meta = Meta::of_object(miss.key.as_str(), &object.headers, object.length, freshness);
        let head = request.method == Method::HEAD;
        let status = if head {
            CacheStatus::UriMiss
        } else {
            CacheStatus::Bypass
        };
        let mut response = Response::new(AssetBody::empty());
        *response.headers_mut() = meta.headers;
        response.headers_mut().remove(http::header::ACCEPT_RANGES);
        response
            .headers_mut()
            .insert(CACHE_STATUS, status.header(&self.name, None, None));
        if !head {
            let pieces = OriginPieces::new(object.body, self.cache.metrics.origin_bytes.clone());
            *response.body_mut() = AssetBody::stream(Box::new(pieces), object.length);
        }
        self.cache.metrics.request(status);
        response
    }

    fn respond_with(
        &self,
        request: &Parts,
        mount: &Arc<Mount>,
        path: &str,
        entry: &Entry,
        status: CacheStatus,
        now: SystemTime,
    ) -> Response<AssetBody> {
        match entry.meta.presence {
            Presence::Object => {
                let bytes = Bytestream::Complete(entry.content.clone());
                let answer = self.answer(mount, path, &entry.meta, bytes, status, now);
                self.count(answer, request)
            }
            Presence::Absent => {
                let mut response = self.problem(request, &Error::NotFound, status);
                let ttl = match entry.meta.freshness.lookup(now) {
                    Lookup::Hit { ttl, .. } => Some((ttl, Staleness::Fresh)),
                    Lookup::Revalidate => None,
                };
                let stored = (status == CacheStatus::UriMiss).then_some(StatusCode::NOT_FOUND);
                response
                    .headers_mut()
                    .insert(CACHE_STATUS, status.header(&self.name, ttl, stored));
                response
            }
        }
    }

    fn answer<'a>(
        &'a self,
        mount: &'a Arc<Mount>,
        path: &'a str,
        meta: &'a Arc<Meta>,
        bytes: Bytestream,
        status: CacheStatus,
        now: SystemTime,
    ) -> Answer<'a> {
        let stored = matches!(status, CacheStatus::UriMiss | CacheStatus::Stale);
        Answer {
            cache: &self.cache,
            cache_name: &self.name,
            mount,
            path,
            meta,
            bytes,
            status,
            stored,
            now,
        }
    }

    fn count(&self, answer: Answer<'_>, request: &Parts) -> Response<AssetBody> {
        self.cache.metrics.request(answer.status);
        answer.respond(request)
    }

    fn holds(&self, key: &CacheKey) -> bool {
        self.cache.memory.get(key.as_str()).is_some()
            || self
                .cache
                .disk
                .as_ref()
                .is_some_and(|disk| disk.contains(key.as_str()))
    }

    pub(crate) fn problem(
        &self,
        request: &Parts,
        error: &Error,
        cache_status: CacheStatus,
    ) -> Response<AssetBody> {
        self.cache.metrics.request(cache_status);
        let (status, reason, proxy_error) = error.verdict();
        let request_id = request
            .headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let detail = error.to_string();
        let problem = Problem {
            status,
            reason,
            detail: &detail,
            request_id,
            proxy: &self.name,
            proxy_error,
        };
        let mut response = problem.into_response().map(AssetBody::whole);
        if request.method == Method::HEAD {
            *response.body_mut() = AssetBody::empty();
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Error::Method = error {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Error::Refused(Refusal::Missing) = error {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("EdgeSignature"));
        }
        if let Error::Origin(_) | Error::NotFound = error {
            headers.insert(CACHE_STATUS, cache_status.header(&self.name, None, None));
        }
        response
    }
}
