//! Writing a body that is on its way: checked, in bounded memory, all of it or nothing.
//!
//! Up to 8 MiB are one PUT; more is an upload in parts, of which at most two are in flight while a third
//! is filled: 24 MiB for objects up to 78 GiB, 192 MiB at most. The client's checksums are compared
//! before anything is made visible. Whatever goes wrong, also that nobody waits any more, the upload is
//! aborted. No HTTP here: the caller has taken headers apart and makes responses.

mod cut;
mod in_flight;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;

use super::digest::{DigestError, Expected};
use super::part_size::{self, SINGLE};
use super::{Attributes, Condition, ObjectStore, StoreError};
use crate::origin::Source;
pub(crate) use cut::Cut;
pub(crate) use in_flight::InFlight;

/// One object to be written.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// Its key.
    pub key: String,
    /// What is said about it.
    pub attributes: Attributes,
    /// Bytes that the body will have (`Content-Length`), if the client says.
    pub length: Option<u64>,
    /// When it may replace what is there.
    pub condition: Condition,
    /// Checksums that the client says the body has.
    pub expected: Expected,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Entity tag that the store gave, quotes included.
    pub etag: Option<String>,
    /// Bytes of the body.
    pub size: u64,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The body broke off.
    #[error("the body broke off: {0}")]
    Body(#[source] Source),
    /// The body has another length than was announced.
    #[error("{received} bytes came where {announced} were announced")]
    Length {
        /// As the client said.
        announced: u64,
        /// As far as it was read.
        received: u64,
    },
    /// The body has another checksum than was sent, or that is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// No store takes as much.
    #[error("the object is larger than {} GiB", part_size::LARGEST_OBJECT >> 30)]
    TooLarge,
}

impl UploadError {
    /// Status for the client, and reason for logs, metrics and the answer.
    pub fn verdict(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Body(_) | Self::Length { .. } => (StatusCode::BAD_REQUEST, "incomplete_body"),
            Self::Digest(_) => (StatusCode::BAD_REQUEST, "bad_digest"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Store(error) => match error {
                StoreError::Precondition | StoreError::Changed => {
                    (StatusCode::PRECONDITION_FAILED, "precondition_failed")
                }
                StoreError::Key(_) => (StatusCode::BAD_REQUEST, "bad_key"),
                StoreError::NoUpload => (StatusCode::NOT_FOUND, "no_such_upload"),
                StoreError::Unsupported => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
                StoreError::SlowDown => (StatusCode::SERVICE_UNAVAILABLE, "origin_slow_down"),
                StoreError::Denied(_) => (StatusCode::BAD_GATEWAY, "origin_denied"),
                _ => (StatusCode::BAD_GATEWAY, "origin_error"),
            },
        }
    }
}

impl Upload {
    /// Reads the body to its end and writes the object. When this future is dropped, nothing is left
    /// behind that can be seen.
    pub async fn send<S, E>(
        self,
        store: Arc<dyn ObjectStore>,
        body: S,
    ) -> Result<Uploaded, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<Source>,
    {
        let parts = part_size::parts(self.length).ok_or(UploadError::TooLarge)?;
        self.look_first(&*store).await?;
        let mut cut = Cut::new(body, self.length, &self.expected);
        let first = cut
            .next(SINGLE.max(parts.size(1).unwrap_or(SINGLE)))
            .await?;
        if cut.is_over().await? {
            let size = cut.finish()?;
            let put = store.put(&self.key, &self.attributes, first, &self.condition);
            let etag = put.await?;
            return Ok(Uploaded { etag, size });
        }
        let upload = store.begin_upload(&self.key, &self.attributes).await?;
        let again = store.clone();
        let mut in_flight = InFlight::new(store, upload);
        let sent = in_parts(&mut in_flight, parts, first, cut).await;
        let completed = match sent {
            // It took a while, and some stores do not judge conditions at the end: look again.
            Ok(size) => match self.look_first(&*again).await {
                Ok(()) => in_flight
                    .complete(&self.condition)
                    .await
                    .map(|etag| Uploaded { etag, size })
                    .map_err(UploadError::from),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        match completed {
            Ok(uploaded) => {
                in_flight.done();
                Ok(uploaded)
            }
            Err(error) => {
                in_flight.abort().await;
                Err(error)
            }
        }
    }

    /// A condition that does not hold now is not worth gigabytes. The store judges it again at the end.
    async fn look_first(&self, store: &dyn ObjectStore) -> Result<(), StoreError> {
        if self.condition == Condition::Always {
            return Ok(());
        }
        let etag = store.head(&self.key).await?.map(|head| head.etag);
        match (&self.condition, etag) {
            (Condition::Absent, None) => Ok(()),
            (Condition::Match(tag), Some(Some(etag))) if tag == "*" || *tag == etag => Ok(()),
            _ => Err(StoreError::Precondition),
        }
    }
}

async fn in_parts<S, E>(
    in_flight: &mut InFlight,
    sizes: part_size::Parts,
    first: Bytes,
    mut cut: Cut<S>,
) -> Result<u64, UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Source>,
{
    let (mut number, mut offset, mut part) = (1, 0, first);
    while !part.is_empty() {
        let size = part.len() as u64;
        in_flight.send(number, offset, part).await?;
        (number, offset) = (number + 1, offset + size);
        let size = sizes.size(number).unwrap_or(0);
        part = cut.next(size).await?;
        if size == 0 && !cut.is_over().await? {
            return Err(UploadError::TooLarge);
        }
    }
    cut.finish()
}
