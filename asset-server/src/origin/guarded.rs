//! One origin of one mount, asked through the [`Guard`] of its store: retries of what has not begun,
//! time limits, health, and counts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use http::header::{AUTHORIZATION, COOKIE};
use tokio::time::{Instant, sleep, timeout};

use super::guard::{Guard, is_refusal};
use super::health::{Health, Seen};
use super::retry::{backoff, may_pass};
use super::slots::Slot;
use super::{
    Forward, Origin, OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest,
    OriginStatus,
};
use crate::metrics::OriginMetrics;

/// How often a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Once: there is something to answer with if it fails.
    One,
    /// As often as the configuration and the retry budget allow.
    Several,
}

/// An origin that can be asked without harm to it or to us.
pub(crate) struct GuardedOrigin {
    origin: Box<dyn Origin>,
    guard: Arc<Guard>,
    health: Health,
    metrics: OriginMetrics,
    /// For the log.
    name: String,
}

impl GuardedOrigin {
    pub(super) fn new(
        name: String,
        origin: Box<dyn Origin>,
        guard: Arc<Guard>,
        metrics: OriginMetrics,
    ) -> Self {
        Self {
            origin,
            guard,
            health: Health::default(),
            metrics,
            name,
        }
    }

    /// Asks for one object, and waits for at most `patience` until it may be asked. Its slot is held
    /// until the body has ended.
    pub(super) async fn fetch(
        &self,
        request: OriginRequest,
        patience: Duration,
        tries: Tries,
    ) -> Result<OriginAnswer, OriginError> {
        let answer = self.with_retries(&request, patience, tries).await;
        match &answer {
            Ok(OriginAnswer::NotFound) => {
                self.health.believes_not_found()?;
                self.health.succeeded(Seen::ByRequest);
            }
            Ok(_) => self.health.succeeded(Seen::ByRequest),
            Err(error) if error.is_our_refusal() => {}
            Err(error) => self.health.failed(Seen::ByRequest, error),
        }
        answer
    }

    /// Passes a request of another method on. It is sent once: nobody knows what it does.
    pub(super) async fn forward(
        &self,
        request: Forward,
        patience: Duration,
    ) -> Result<OriginObject, OriginError> {
        let slot = self.enter(patience).await?;
        self.metrics.requests.inc();
        match self.origin.forward(request).await {
            Ok(mut object) => {
                self.health.succeeded(Seen::ByRequest);
                object.body = self.guard_body(object.body, slot);
                Ok(object)
            }
            Err(error) => {
                self.metrics.errors.inc();
                self.health.failed(Seen::ByRequest, &error);
                Err(error)
            }
        }
    }

    /// Asks whether the origin is there, and sets its gauges.
    pub(super) async fn check(&self) {
        let limit = self.guard.limits.first_byte_timeout;
        match within(limit, self.origin.check()).await {
            Ok(()) => {
                self.guard.checked(Instant::now());
                self.health.succeeded(Seen::ByCheck);
            }
            Err(error) => self.health.failed(Seen::ByCheck, &error),
        }
        let state = self.guard.state();
        self.metrics.concurrency_limit.set(state.limit as i64);
        self.metrics.in_flight.set(state.in_flight as i64);
        self.metrics
            .breaker_open
            .set(i64::from(!state.breaker_closed));
    }

    pub(super) fn status(&self) -> OriginStatus {
        self.health.status(&self.name)
    }

    /// How many more fetches could begin at once without anybody waiting, themselves included. For
    /// what is not needed yet, such as read-ahead.
    pub(crate) fn spare(&self) -> usize {
        self.guard.spare(Instant::now())
    }

    /// Waits for a slot and a turn at the store for something other than a fetch.
    pub(super) async fn enter(&self, patience: Duration) -> Result<Slot, OriginError> {
        self.guard.enter(Instant::now() + patience).await
    }

    pub(super) fn metrics(&self) -> &OriginMetrics {
        &self.metrics
    }

    async fn with_retries(
        &self,
        request: &OriginRequest,
        patience: Duration,
        tries: Tries,
    ) -> Result<OriginAnswer, OriginError> {
        let deadline = Instant::now() + patience;
        self.guard.earn_retry();
        let mut retries = 0;
        loop {
            let error = match self.attempt(request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            retries += 1;
            let pause = backoff(retries, fastrand::f64());
            let too_late = Instant::now() + pause.max(error.said_to_wait()) > deadline;
            if tries == Tries::One
                || retries >= self.guard.limits.attempts
                || !may_pass(&error)
                || too_late
                || !self.guard.spend_retry()
            {
                return Err(error);
            }
            self.metrics.retries.inc();
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        request: &OriginRequest,
        deadline: Instant,
    ) -> Result<OriginAnswer, OriginError> {
        let slot = self.guard.enter(deadline).await.inspect_err(|refusal| {
            self.metrics.refused(refusal);
        })?;
        let sent = Instant::now();
        self.metrics.requests.inc();
        let limit = self.guard.limits.first_byte_timeout;
        let mut answer = within(limit, self.origin.fetch(request.clone())).await;
        let now = Instant::now();
        self.metrics
            .first_byte_seconds
            .observe((now - sent).as_secs_f64());
        if !is_about_client(request, &answer) && self.guard.learn(sent, &answer, now) {
            tracing::warn!(
                origin = self.name,
                "it keeps failing and is left alone for a while"
            );
        }
        match &mut answer {
            Ok(OriginAnswer::Found(object)) => {
                if is_refusal(object.status) {
                    self.metrics.slow_downs.inc();
                }
                let body = std::mem::replace(&mut object.body, super::no_body());
                object.body = self.guard_body(body, slot);
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.errors.inc();
                if matches!(error, OriginError::SlowDown { .. }) {
                    self.metrics.slow_downs.inc();
                }
            }
        }
        answer
    }

    fn guard_body(&self, body: OriginBody, slot: Slot) -> OriginBody {
        let (idle, bytes, errors) = (
            self.guard.limits.idle_timeout,
            self.metrics.bytes.clone(),
            self.metrics.errors.clone(),
        );
        Box::pin(futures_util::stream::unfold(
            Some((body, slot)),
            move |state| {
                let (bytes, errors) = (bytes.clone(), errors.clone());
                async move {
                    let (mut body, slot) = state?;
                    match timeout(idle, body.next()).await {
                        Ok(Some(Ok(piece))) => {
                            bytes.inc_by(piece.len() as u64);
                            Some((Ok(piece), Some((body, slot))))
                        }
                        Ok(None) => None,
                        Ok(Some(Err(error))) => {
                            errors.inc();
                            Some((Err(error), None))
                        }
                        Err(_) => {
                            errors.inc();
                            Some((Err(OriginError::Body("it stalled".into())), None))
                        }
                    }
                }
            },
        ))
    }
}

/// A 429 to a request with a client's credentials is about that client (RFC 6585 section 4): one who
/// asks too often must not silence the origin for all others.
fn is_about_client(request: &OriginRequest, answer: &Result<OriginAnswer, OriginError>) -> bool {
    let names_client = [AUTHORIZATION, COOKIE]
        .iter()
        .any(|name| request.asked.headers.contains_key(name));
    let limited = matches!(answer, Ok(OriginAnswer::Found(object))
        if object.status == StatusCode::TOO_MANY_REQUESTS);
    names_client && limited
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, OriginError>>,
) -> Result<T, OriginError> {
    timeout(limit, asked)
        .await
        .unwrap_or(Err(OriginError::Timeout))
}
