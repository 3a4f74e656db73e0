//! An origin behind the care that every origin gets: a limit on requests in flight, time limits,
//! retries of what has not begun, health, and counts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::health::{Health, Seen};
use super::{
    Forward, Origin, OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest,
    OriginStatus,
};
use crate::config::OriginLimits;
use crate::metrics::OriginMetrics;

/// Pause before the first retry; it doubles, and is drawn between half and the whole.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An origin that can be asked without harm to it or to us.
pub(crate) struct GuardedOrigin {
    origin: Box<dyn Origin>,
    limits: OriginLimits,
    slots: Arc<Semaphore>,
    health: Health,
    metrics: OriginMetrics,
}

impl GuardedOrigin {
    pub(crate) fn new(
        origin: Box<dyn Origin>,
        limits: OriginLimits,
        metrics: OriginMetrics,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(limits.max_concurrency));
        Self {
            origin,
            limits,
            slots,
            health: Health::default(),
            metrics,
        }
    }

    /// Asks for one object. Its slot is held until the body has ended.
    pub(crate) async fn fetch(&self, request: OriginRequest) -> Result<OriginAnswer, OriginError> {
        self.ask(&request, self.limits.attempts).await
    }

    /// The same without a second try.
    pub(crate) async fn fetch_once(
        &self,
        request: OriginRequest,
    ) -> Result<OriginAnswer, OriginError> {
        self.ask(&request, 1).await
    }

    /// How many more requests may start now without anyone waiting for them.
    pub(crate) fn spare(&self) -> usize {
        self.slots.available_permits()
    }

    /// Passes a request of another method on. It is sent once: nobody knows what it does.
    pub(crate) async fn forward(&self, request: Forward) -> Result<OriginObject, OriginError> {
        let slot = self.slot().await?;
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

    async fn ask(
        &self,
        request: &OriginRequest,
        attempts: u32,
    ) -> Result<OriginAnswer, OriginError> {
        let slot = self.slot().await?;
        let started = Instant::now();
        self.metrics.requests.inc();
        let answer = self.with_retries(request, attempts).await;
        self.metrics
            .first_byte_seconds
            .observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(OriginAnswer::Found(mut object)) => {
                self.health.succeeded(Seen::ByRequest);
                object.body = self.guard_body(object.body, slot);
                Ok(OriginAnswer::Found(object))
            }
            Ok(OriginAnswer::NotFound) => {
                self.health.believes_not_found()?;
                self.health.succeeded(Seen::ByRequest);
                Ok(OriginAnswer::NotFound)
            }
            Ok(answer) => {
                self.health.succeeded(Seen::ByRequest);
                Ok(answer)
            }
            Err(error) => {
                self.metrics.errors.inc();
                self.health.failed(Seen::ByRequest, &error);
                Err(error)
            }
        }
    }

    /// Asks whether the origin is there.
    pub(crate) async fn check(&self) {
        match within(self.limits.first_byte_timeout, self.origin.check()).await {
            Ok(()) => self.health.succeeded(Seen::ByCheck),
            Err(error) => self.health.failed(Seen::ByCheck, &error),
        }
    }

    pub(crate) fn status(&self, name: &str) -> OriginStatus {
        self.health.status(name)
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        match timeout(
            self.limits.first_byte_timeout,
            self.slots.clone().acquire_owned(),
        )
        .await
        {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(OriginError::Busy),
        }
    }

    /// GET and HEAD are safe to repeat while nothing of the answer was passed on.
    async fn with_retries(
        &self,
        request: &OriginRequest,
        attempts: u32,
    ) -> Result<OriginAnswer, OriginError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..attempts {
            match within(
                self.limits.first_byte_timeout,
                self.origin.fetch(request.clone()),
            )
            .await
            {
                Err(error) if may_pass(&error) => {
                    self.metrics.retries.inc();
                    sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        within(
            self.limits.first_byte_timeout,
            self.origin.fetch(request.clone()),
        )
        .await
    }

    fn guard_body(&self, body: OriginBody, slot: OwnedSemaphorePermit) -> OriginBody {
        let (idle, bytes, errors) = (
            self.limits.idle_timeout,
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

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, OriginError>>,
) -> Result<T, OriginError> {
    timeout(limit, asked)
        .await
        .unwrap_or(Err(OriginError::Timeout))
}

/// Whether the same request may fare better in a moment. A timeout has cost enough already.
fn may_pass(error: &OriginError) -> bool {
    match error {
        OriginError::Unreachable(_) | OriginError::SlowDown => true,
        OriginError::Status(status) => *status >= 500,
        _ => false,
    }
}
