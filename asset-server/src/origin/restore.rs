//! Copies of objects that only a later origin has back to the first, in the background.
//!
//! A copy costs nobody a wait: a few run at a time, a bounded number stand in line, and a key is taken
//! up once in a while at most, whatever came of it. Where the bytes go is behind [`Restore`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::guarded::Tries;
use super::{GuardedOrigin, OriginAnswer, OriginBody, OriginError, OriginRequest, Source, Want};
use crate::metrics::RestoreMetrics;

/// Copies under way at once, for each mount.
const AT_ONCE: usize = 2;
/// Copies in line. More are left for the next read.
const IN_LINE: usize = 1000;
/// Until a key may be taken up again.
const AGAIN: Duration = Duration::from_secs(600);
/// Until a copy may begin: nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// An object on its way back.
pub(crate) struct Restoring {
    /// Its key, relative to the mount.
    pub(crate) key: String,
    /// Its headers at the origin that has it.
    pub(crate) headers: HeaderMap,
    /// Bytes that the body must have.
    pub(crate) length: u64,
    /// The body.
    pub(crate) body: OriginBody,
}

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It is there, whole.
    Copied,
    /// Somebody has put an object there meanwhile; it was left alone.
    Exists,
}

/// A place that objects can be put back to.
pub(crate) trait Restore: Send + Sync + 'static {
    /// Puts an object there whole or not at all, and never over one that is there already.
    fn restore(&self, object: Restoring) -> BoxFuture<'_, Result<Restored, RestoreError>>;
}

/// Why an object was not copied back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// It could not be read.
    #[error("it could not be read: {0}")]
    Read(#[from] OriginError),
    /// It is gone from where it was read.
    #[error("it is gone")]
    Gone,
    /// Its origin does not say how long it is, so that a whole copy cannot be told from half of one.
    #[error("its length is not known")]
    UnknownLength,
    /// More or fewer bytes came, or are there afterwards, than were announced.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// Bytes announced.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The store did not take it.
    #[error("it could not be written: {0}")]
    Write(Source),
}

/// The copies of one mount.
pub(super) struct Restorer {
    target: Box<dyn Restore>,
    taken_up: Mutex<HashMap<String, Instant>>,
    in_line: Arc<Semaphore>,
    at_once: Semaphore,
    metrics: RestoreMetrics,
}

impl Restorer {
    pub(super) fn new(target: Box<dyn Restore>, metrics: RestoreMetrics) -> Arc<Self> {
        Arc::new(Self {
            target,
            taken_up: Mutex::default(),
            in_line: Arc::new(Semaphore::new(IN_LINE)),
            at_once: Semaphore::new(AT_ONCE),
            metrics,
        })
    }

    /// An object was found at an origin, and nowhere before it.
    pub(super) fn consider(
        self: &Arc<Self>,
        origins: &Arc<[GuardedOrigin]>,
        position: usize,
        key: &str,
    ) {
        let Ok(place) = self.in_line.clone().try_acquire_owned() else {
            return;
        };
        if !self.take_up(key, Instant::now()) {
            return;
        }
        let (restorer, origins, key) = (self.clone(), origins.clone(), key.to_owned());
        tokio::spawn(async move {
            let _place = place;
            let Ok(_turn) = restorer.at_once.acquire().await else {
                return;
            };
            match restorer.copy(&origins, position, &key).await {
                Ok(Restored::Copied) => {
                    restorer.metrics.copied.inc();
                    tracing::info!(key, origin = position, "an object was restored");
                }
                Ok(Restored::Exists) => {}
                Err(error) => {
                    restorer.metrics.failed.inc();
                    tracing::warn!(key, origin = position, %error, "an object was not restored");
                }
            }
        });
    }

    async fn copy(
        &self,
        origins: &[GuardedOrigin],
        position: usize,
        key: &str,
    ) -> Result<Restored, RestoreError> {
        let (Some(first), Some(origin)) = (origins.first(), origins.get(position)) else {
            return Err(RestoreError::Gone);
        };
        // The copy is a request to the first store as well, and has its place among the others.
        let _slot = first.enter(PATIENCE).await?;
        let request = OriginRequest {
            asked: Arc::default(),
            key: key.to_owned(),
            want: Want::Body,
            unless: None,
            only_if: None,
        };
        let OriginAnswer::Found(object) = origin.fetch(request, PATIENCE, Tries::Several).await?
        else {
            return Err(RestoreError::Gone);
        };
        let object = Restoring {
            key: key.to_owned(),
            length: object.length.ok_or(RestoreError::UnknownLength)?,
            headers: object.headers,
            body: object.body,
        };
        self.target.restore(object).await
    }

    /// False if the key was taken up a short while ago.
    fn take_up(&self, key: &str, now: Instant) -> bool {
        let mut taken = self.taken_up.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < AGAIN;
        if taken.get(key).is_some_and(recent) {
            return false;
        }
        if taken.len() >= 10 * IN_LINE {
            taken.retain(|_, at| recent(at));
            if taken.len() >= 10 * IN_LINE {
                return false;
            }
        }
        taken.insert(key.to_owned(), now);
        true
    }
}
