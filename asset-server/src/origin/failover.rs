//! A mount's origins, asked in order until one has the object.
//!
//! "No such object" from one sends the request on, since a later one may be the archive; it is the
//! answer only if everybody says so. If one said it and another failed, the answer is the failure: a
//! 404 that may be wrong would be cached.
//!
//! An HTTP origin's answer is passed on whatever it is, unless there is another origin to ask: then
//! 404 and 410 are "no such object", and 429 and 5xx are failures. 401 and 403 stay answers: what one
//! origin denies, another must not give away. The last origin's failure is passed on as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::guarded::Tries;
use super::restore::Restorer;
use super::stores::Stores;
use super::{
    ConnectError, Forward, GuardedOrigin, Hop, OriginAnswer, OriginError, OriginObject,
    OriginRequest, OriginStatus, Want,
};
use crate::config;
use crate::metrics::Metrics;
use crate::store::S3Store;

/// How long a request waits for its turn at an origin while there is another to turn to.
const PATIENCE_WITH_ANOTHER: Duration = Duration::from_secs(1);
/// An episode of failing over ends after so long without it.
const QUIET: Duration = Duration::from_secs(10);
/// Warnings of refused access are this far apart.
const DENIED_AGAIN: Duration = Duration::from_secs(60);

/// The origins of one mount, in order.
pub(crate) struct Failover {
    mount: String,
    origins: Arc<[GuardedOrigin]>,
    restorer: Option<Arc<Restorer>>,
    patience: Duration,
    log: Mutex<Log>,
}

impl Failover {
    /// Sets up the origins that a mount's configuration lists; with `hop`, the first one behind the
    /// mount's shield.
    pub(crate) fn connect(
        mount: &config::Mount,
        limits: &config::OriginLimits,
        stores: &mut Stores,
        metrics: &Metrics,
        hop: Option<Hop>,
    ) -> Result<Self, ConnectError> {
        let mut shield = mount.shield.as_ref().zip(hop);
        let mut origins = Vec::with_capacity(1 + mount.fallbacks.len());
        for origin in std::iter::once(&mount.origin).chain(&mount.fallbacks) {
            let position = origins.len();
            let name = match position {
                0 => mount.path.clone(),
                position => format!("{} (fallback {position})", mount.path),
            };
            let mut connected = super::connect(origin, limits)?;
            if let Some((shield, hop)) = shield.take() {
                let path = &mount.path;
                let is_http = matches!(origin, config::Origin::Http { .. });
                connected = super::connect_shielded(shield, path, connected, hop, is_http, limits)?;
            }
            origins.push(GuardedOrigin::new(
                name,
                connected,
                stores.guard(origin),
                metrics.origin(&mount.path, position),
            ));
        }
        let restores = metrics.restores(&mount.path);
        // The configuration has made sure that the origin is a bucket.
        let restorer = match &mount.origin {
            config::Origin::S3(s3) if mount.restore => {
                let target = Arc::new(S3Store::connect(s3, limits)?);
                Some(Restorer::new(target, restores))
            }
            _ => None,
        };
        Ok(Self {
            mount: mount.path.clone(),
            origins: origins.into(),
            restorer,
            patience: limits.first_byte_timeout,
            log: Mutex::default(),
        })
    }

    /// Asks for one object, one origin after the other.
    pub(crate) async fn fetch(&self, request: OriginRequest) -> Result<OriginAnswer, OriginError> {
        self.ask(request, Tries::Several).await
    }

    /// The same without a second try at any of them.
    pub(crate) async fn fetch_once(
        &self,
        request: OriginRequest,
    ) -> Result<OriginAnswer, OriginError> {
        self.ask(request, Tries::One).await
    }

    /// Passes a request of another method on, to the first origin: the others are copies.
    pub(crate) async fn forward(&self, request: Forward) -> Result<OriginObject, OriginError> {
        match self.origins.first() {
            Some(origin) => origin.forward(request, self.patience).await,
            None => Err(OriginError::Malformed("there is no origin")),
        }
    }

    async fn ask(&self, request: OriginRequest, tries: Tries) -> Result<OriginAnswer, OriginError> {
        let mut so_far = SoFar::default();
        for (position, origin) in self.origins.iter().enumerate() {
            let last = position + 1 == self.origins.len();
            let patience = match last {
                true => self.patience,
                false => self.patience.min(PATIENCE_WITH_ANOTHER),
            };
            match origin.fetch(request.clone(), patience, tries).await {
                Ok(answer) => match meaning(&answer) {
                    Meaning::Absent => so_far.absent(answer),
                    Meaning::Failure(error) if !last => so_far.failed(error),
                    Meaning::Failure(_) => return Ok(answer),
                    Meaning::Answer => {
                        self.note(position, &so_far, &request, &answer);
                        return Ok(answer);
                    }
                },
                Err(error) => {
                    if !last {
                        self.log_denied(position, &error);
                    }
                    so_far.failed(error);
                }
            }
        }
        so_far.verdict()
    }

    /// Asks each origin whether it is there.
    pub(crate) async fn check(&self) {
        futures_util::future::join_all(self.origins.iter().map(GuardedOrigin::check)).await;
    }

    /// How each origin is doing, in order.
    pub(crate) fn status(&self) -> Vec<OriginStatus> {
        let mut all: Vec<_> = self.origins.iter().map(GuardedOrigin::status).collect();
        let alive = all.iter().any(|status| status.ok);
        for status in &mut all {
            status.blocking = !status.was_ok && !alive;
        }
        all
    }

    /// How many more fetches could begin at once without anybody waiting: at the first origin, since
    /// what nobody needs yet is no reason to go to another.
    pub(crate) fn spare(&self) -> usize {
        self.origins.first().map_or(0, GuardedOrigin::spare)
    }

    /// One origin has answered, after those before it did not.
    fn note(
        &self,
        position: usize,
        so_far: &SoFar,
        request: &OriginRequest,
        answer: &OriginAnswer,
    ) {
        let Some(origin) = self.origins.get(position) else {
            return;
        };
        if let Some(failure) = &so_far.failure {
            origin.metrics().failovers.inc();
            if self.log().failed_over(Instant::now()) {
                tracing::warn!(mount = self.mount, origin = position, because = %failure, "failing over to another origin");
            }
        } else if position == 0 && self.log().answered(Instant::now()) {
            tracing::info!(mount = self.mount, "back to the first origin");
        }
        let only_here = position > 0 && so_far.failure.is_none() && !so_far.changed;
        if let (Some(restorer), OriginAnswer::Found(_), true) = (&self.restorer, answer, only_here)
            && request.want != Want::Head
        {
            restorer.consider(&self.origins, position, &request.key);
        }
    }

    fn log_denied(&self, position: usize, error: &OriginError) {
        let refused = matches!(error, OriginError::Denied(_) | OriginError::Missing(_));
        if refused && self.log().denied(Instant::now()) {
            tracing::warn!(mount = self.mount, origin = position, %error, "an origin is passed over");
        }
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer means where there are several origins.
enum Meaning {
    /// It is the answer.
    Answer,
    /// No such object here.
    Absent,
    /// The origin is not well.
    Failure(OriginError),
}

fn meaning(answer: &OriginAnswer) -> Meaning {
    let object = match answer {
        OriginAnswer::Found(object) => object,
        OriginAnswer::NotModified(_) => return Meaning::Answer,
        OriginAnswer::NotFound => return Meaning::Absent,
    };
    match object.status.as_u16() {
        404 | 410 => Meaning::Absent,
        status @ (429 | 500..) => {
            let retry_after = super::retry_after_of(&object.headers);
            Meaning::Failure(OriginError::of_status(status, retry_after))
        }
        _ => Meaning::Answer,
    }
}

/// What the origins asked so far came to.
#[derive(Default)]
struct SoFar {
    /// The last "no such object", as it was said.
    absent: Option<OriginAnswer>,
    /// The first failure; what the first origin says is the most telling.
    failure: Option<OriginError>,
    /// One has another version than the one that was asked for.
    changed: bool,
}

impl SoFar {
    fn absent(&mut self, answer: OriginAnswer) {
        self.absent = Some(answer);
    }

    fn failed(&mut self, error: OriginError) {
        match error {
            OriginError::Changed => self.changed = true,
            error => {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// The answer when nobody had the object.
    fn verdict(self) -> Result<OriginAnswer, OriginError> {
        match self.failure {
            Some(failure) => Err(failure),
            None if self.changed => Err(OriginError::Changed),
            None => Ok(self.absent.unwrap_or(OriginAnswer::NotFound)),
        }
    }
}

/// When the log says something: a store that fails now and then is one episode, not a line a request.
#[derive(Debug, Default)]
struct Log {
    failed_over: Option<Instant>,
    denied: Option<Instant>,
}

impl Log {
    /// True if an episode begins.
    fn failed_over(&mut self, now: Instant) -> bool {
        self.failed_over.replace(now).is_none()
    }

    /// True if an episode ends.
    fn answered(&mut self, now: Instant) -> bool {
        let over = |last: &mut Instant| now.saturating_duration_since(*last) >= QUIET;
        self.failed_over.take_if(over).is_some()
    }

    /// True if it is time for a warning.
    fn denied(&mut self, now: Instant) -> bool {
        let again = self
            .denied
            .is_none_or(|last| now.saturating_duration_since(last) >= DENIED_AGAIN);
        if again {
            self.denied = Some(now);
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(errors: Vec<OriginError>) -> Result<OriginAnswer, OriginError> {
        let mut so_far = SoFar::default();
        errors.into_iter().for_each(|error| so_far.failed(error));
        so_far.verdict()
    }

    #[test]
    fn not_found_needs_everybody_and_a_failure_beats_a_change() {
        use OriginError::{Changed, Denied, Timeout};
        assert!(matches!(verdict(vec![]), Ok(OriginAnswer::NotFound)));
        assert!(matches!(verdict(vec![Timeout]), Err(Timeout)));
        assert!(matches!(verdict(vec![Changed]), Err(Changed)));
        assert!(matches!(verdict(vec![Changed, Timeout]), Err(Timeout)));
        let denied = || Denied(String::new());
        assert!(matches!(verdict(vec![denied(), Timeout]), Err(Denied(_))));
    }

    #[test]
    fn failing_over_is_logged_once_an_episode() {
        let (mut log, now) = (Log::default(), Instant::now());
        assert!(!log.answered(now), "nothing to come back from");
        assert!(log.failed_over(now));
        assert!(!log.answered(now + QUIET / 2));
        assert!(!log.failed_over(now + QUIET / 2));
        assert!(!log.answered(now + QUIET));
        assert!(log.answered(now + QUIET * 2));
        assert!(!log.answered(now + QUIET * 2));
        assert!(log.failed_over(now + QUIET * 3));
    }
}
