//! Copies of objects that only a later origin has back to the first, in the background.
//!
//! A copy costs nobody a wait: a few run at a time, a bounded number stand in line, and a key is taken
//! up once in a while at most, whatever came of it. How it is written, whole or not at all and never over
//! another, is the affair of [`Upload`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::guarded::Tries;
use super::{GuardedOrigin, OriginAnswer, OriginError, OriginRequest, Want};
use crate::metrics::RestoreMetrics;
use crate::store::digest::Expected;
use crate::store::upload::{Upload, UploadError};
use crate::store::{Attributes, Condition, ObjectStore, StoreError};

/// Copies under way at once, for each mount.
const AT_ONCE: usize = 2;
/// Copies in line. More are left for the next read.
const IN_LINE: usize = 1000;
/// Until a key may be taken up again.
const AGAIN: Duration = Duration::from_secs(600);
/// Until a copy may begin: nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It is there, whole.
    Copied,
    /// Somebody has put an object there meanwhile; it was left alone.
    Exists,
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
    /// It came otherwise than announced, or the store did not take it.
    #[error("it could not be written: {0}")]
    Write(#[from] UploadError),
}

/// The copies of one mount.
pub(super) struct Restorer {
    target: Arc<dyn ObjectStore>,
    taken_up: Mutex<HashMap<String, Instant>>,
    in_line: Arc<Semaphore>,
    at_once: Semaphore,
    metrics: RestoreMetrics,
}

impl Restorer {
    pub(super) fn new(target: Arc<dyn ObjectStore>, metrics: RestoreMetrics) -> Arc<Self> {
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
        let upload = Upload {
            key: key.to_owned(),
            attributes: Attributes::of_response(&object.headers),
            length: Some(object.length.ok_or(RestoreError::UnknownLength)?),
            condition: Condition::Absent,
            expected: Expected::default(),
        };
        match upload.send(self.target.clone(), object.body).await {
            Ok(_) => Ok(Restored::Copied),
            Err(UploadError::Store(StoreError::Precondition)) => Ok(Restored::Exists),
            Err(error) => Err(error.into()),
        }
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
