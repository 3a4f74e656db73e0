//! The care of one store: may this request leave now, and what did its answer teach?
//!
//! One for each store, whatever mounts use it: a store counts requests, not the paths they serve.
//! [`Guard::enter`] is all that happens before a request, [`Guard::learn`] all that happens after.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, sleep_until};
use tower::retry::budget::{Budget as _, TpsBudget};

use super::breaker::Breaker;
use super::concurrency::Limit;
use super::rate::RequestRate;
use super::slots::{Slot, Slots};
use super::{OriginAnswer, OriginError};
use crate::config::OriginLimits;

/// Retries that any store may have each second, however little it is asked.
const RETRIES_PER_SECOND: u32 = 1;
/// How long an earned retry can be spent.
const RETRIES_KEPT: Duration = Duration::from_secs(10);

/// What keeps one store from harm, and us from waiting for it.
pub(crate) struct Guard {
    pub(super) limits: OriginLimits,
    slots: Arc<Slots>,
    rate: Option<Mutex<RequestRate>>,
    /// The store asked that nobody ask before.
    pause: Mutex<Option<Instant>>,
    breaker: Mutex<Breaker>,
    retries: TpsBudget,
}

/// What an answer says about the store, rather than about the object.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    Well,
    Overloaded,
    Unwell,
}

/// State of a store's guard, for gauges.
pub(super) struct GuardState {
    pub(super) limit: usize,
    pub(super) in_flight: usize,
    pub(super) breaker_closed: bool,
}

impl Guard {
    /// A guard with the budget of requests per second, or without.
    pub(super) fn new(limits: &OriginLimits, counted: bool) -> Self {
        let per_second = NonZeroU32::new(limits.requests_per_second).filter(|_| counted);
        let limit = Limit::new(limits.min_concurrency, limits.max_concurrency);
        Self {
            slots: Slots::new(limit),
            rate: per_second.map(|n| Mutex::new(RequestRate::new(n, limits.burst))),
            pause: Mutex::default(),
            breaker: Mutex::new(Breaker::new(
                limits.breaker_failures,
                limits.first_byte_timeout,
            )),
            retries: TpsBudget::new(
                RETRIES_KEPT,
                RETRIES_PER_SECOND,
                limits.retry_percent as f32 / 100.0,
            ),
            limits: limits.clone(),
        }
    }

    /// Waits until a request may leave, at most until the deadline. Whoever cannot get there in time is
    /// told at once where that is known.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Slot, OriginError> {
        let now = Instant::now();
        if let Some(retry_after) = lock(&self.breaker).refuses(now) {
            return Err(OriginError::BreakerOpen { retry_after });
        }
        self.pause_within(deadline, now)?;
        let busy = || OriginError::Busy {
            retry_after: Duration::from_secs(1),
        };
        let slot = self.slots.take(deadline).await.ok_or_else(busy)?;
        let turn = self.turn(deadline)?;
        if !turn.is_zero() {
            sleep(turn).await;
        }
        // Last, because it may have begun while we waited for the rest; and it may grow.
        while let Some(until) = self.pause_within(deadline, Instant::now())? {
            sleep_until(until).await;
        }
        match lock(&self.breaker).admit(Instant::now()) {
            Ok(()) => Ok(slot),
            Err(retry_after) => Err(OriginError::BreakerOpen { retry_after }),
        }
    }

    /// Takes in what a request that was `sent` then came to. True if the breaker has opened for it.
    pub(super) fn learn(
        &self,
        sent: Instant,
        answer: &Result<OriginAnswer, OriginError>,
        now: Instant,
    ) -> bool {
        if let Some(wait) = named_wait(answer) {
            let until = now + wait;
            let mut pause = lock(&self.pause);
            *pause = Some(pause.map_or(until, |known| known.max(until)));
        }
        match sign(answer) {
            Sign::Well => {
                self.slots
                    .answered(now.saturating_duration_since(sent), now);
                lock(&self.breaker).answered();
                false
            }
            Sign::Overloaded => {
                self.slots.overloaded(sent, now);
                // A store that refuses is there; one that lets us wait may not be.
                if matches!(answer, Err(OriginError::Timeout)) {
                    return lock(&self.breaker).failed(sent, now);
                }
                lock(&self.breaker).answered();
                false
            }
            Sign::Unwell => lock(&self.breaker).failed(sent, now),
        }
    }

    /// The check of the store as a whole went well.
    pub(super) fn checked(&self, now: Instant) {
        lock(&self.breaker).checked(now);
    }

    /// Every request earns a part of a retry.
    pub(super) fn earn_retry(&self) {
        self.retries.deposit();
    }

    /// Spends a retry, if there is one.
    pub(super) fn spend_retry(&self) -> bool {
        self.retries.withdraw()
    }

    /// How many requests could leave now without anybody waiting.
    pub(super) fn spare(&self, now: Instant) -> usize {
        if lock(&self.breaker).refuses(now).is_some() || self.pause_after(now).is_some() {
            return 0;
        }
        let turns = self.rate.as_ref().map(|rate| lock(rate).spare(now));
        self.slots.free().min(turns.unwrap_or(usize::MAX))
    }

    pub(super) fn state(&self) -> GuardState {
        let (limit, in_flight) = self.slots.usage();
        GuardState {
            limit,
            in_flight,
            breaker_closed: lock(&self.breaker).is_closed(),
        }
    }

    fn turn(&self, deadline: Instant) -> Result<Duration, OriginError> {
        let Some(rate) = &self.rate else {
            return Ok(Duration::ZERO);
        };
        let now = Instant::now();
        lock(rate)
            .take(now, deadline.saturating_duration_since(now))
            .map_err(|retry_after| OriginError::Busy { retry_after })
    }

    fn pause_after(&self, now: Instant) -> Option<Instant> {
        lock(&self.pause).filter(|until| *until > now)
    }

    /// The end of the pause that the store asked for, if that comes in time.
    fn pause_within(
        &self,
        deadline: Instant,
        now: Instant,
    ) -> Result<Option<Instant>, OriginError> {
        match self.pause_after(now) {
            Some(until) if until > deadline => Err(OriginError::SlowDown {
                retry_after: Some(until.saturating_duration_since(now)),
            }),
            until => Ok(until),
        }
    }
}

/// How long the store asked to be left alone.
fn named_wait(answer: &Result<OriginAnswer, OriginError>) -> Option<Duration> {
    match answer {
        Err(OriginError::SlowDown { retry_after }) => *retry_after,
        Ok(OriginAnswer::Found(object)) if is_refusal(object.status) => {
            super::retry_after_of(&object.headers)
        }
        _ => None,
    }
}

/// What an HTTP origin answers when it has had enough. Its other errors are the application's, about
/// one resource, and say nothing about the server.
pub(super) fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    )
}

fn sign(answer: &Result<OriginAnswer, OriginError>) -> Sign {
    match answer {
        Ok(OriginAnswer::Found(object)) if is_refusal(object.status) => Sign::Overloaded,
        Err(OriginError::SlowDown { .. } | OriginError::Timeout) => Sign::Overloaded,
        Err(OriginError::Unreachable(_)) => Sign::Unwell,
        Err(OriginError::Status(status)) if *status >= 500 => Sign::Unwell,
        _ => Sign::Well,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::OriginObject;

    fn limits() -> OriginLimits {
        OriginLimits {
            max_concurrency: 8,
            min_concurrency: 2,
            requests_per_second: 10,
            burst: 3,
            attempts: 3,
            retry_percent: 20,
            breaker_failures: 2,
            connect_timeout: Duration::from_secs(1),
            first_byte_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            check_interval: Duration::from_secs(1),
        }
    }

    fn soon(time: Duration) -> Instant {
        Instant::now() + time
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_those_beyond_the_deadline_are_refused_at_once() {
        let guard = Guard::new(&limits(), true);
        assert_eq!(guard.spare(Instant::now()), 3);
        let start = Instant::now();
        for left in [0, 0, 0, 100, 100] {
            let before = Instant::now();
            let _slot = guard
                .enter(soon(Duration::from_secs(1)))
                .await
                .expect("a turn");
            assert_eq!(before.elapsed().as_millis(), left);
        }
        assert_eq!(guard.spare(Instant::now()), 0);
        let refused = guard.enter(soon(Duration::from_millis(50))).await;
        let OriginError::Busy { retry_after } = refused.expect_err("no turn") else {
            unreachable!("another error");
        };
        assert_eq!(retry_after.as_millis(), 100);
        assert_eq!(start.elapsed().as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_before_the_moment_that_the_store_named() {
        let guard = Arc::new(Guard::new(&limits(), false));
        let refusal = |seconds| {
            Err(OriginError::SlowDown {
                retry_after: Some(Duration::from_secs(seconds)),
            })
        };
        let start = Instant::now();
        guard.learn(start, &refusal(2), start);
        assert_eq!(guard.spare(start), 0);
        let refused = guard.enter(soon(Duration::from_secs(1))).await;
        assert!(matches!(refused, Err(OriginError::SlowDown { .. })));
        assert_eq!(start.elapsed(), Duration::ZERO, "it waited for nothing");
        // One that can wait; and the store makes the pause longer meanwhile.
        let waiting = tokio::spawn({
            let guard = guard.clone();
            async move { guard.enter(soon(Duration::from_secs(10))).await.is_ok() }
        });
        sleep(Duration::from_secs(1)).await;
        guard.learn(start, &refusal(4), Instant::now());
        assert!(waiting.await.expect("no panic"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_store_is_refused_at_once_until_a_probe() {
        let guard = Guard::new(&limits(), false);
        for _ in 0..2 {
            let sent = Instant::now();
            sleep(Duration::from_secs(1)).await;
            guard.learn(sent, &Err(OriginError::Timeout), Instant::now());
        }
        let deadline = soon(Duration::from_secs(60));
        let refused = guard.enter(deadline).await;
        assert!(matches!(refused, Err(OriginError::BreakerOpen { .. })));
        assert!(!guard.state().breaker_closed);
        sleep(Duration::from_secs(1)).await;
        let slot = guard.enter(deadline).await.expect("the probe");
        assert!(guard.enter(deadline).await.is_err(), "only one");
        guard.learn(Instant::now(), &Ok(OriginAnswer::NotFound), Instant::now());
        drop(slot);
        assert!(guard.enter(deadline).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn errors_of_an_application_open_no_breaker_and_its_refusals_make_a_pause() {
        let guard = Guard::new(&limits(), false);
        let answer = |status: u16, retry_after: Option<&'static str>| {
            let value = retry_after.map(http::HeaderValue::from_static);
            Ok(OriginAnswer::Found(OriginObject {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: value
                    .map(|value| (http::header::RETRY_AFTER, value))
                    .into_iter()
                    .collect(),
                length: None,
                body: crate::origin::no_body(),
            }))
        };
        for _ in 0..10 {
            for (status, wait) in [(500, Some("9")), (503, None), (504, Some("9")), (429, None)] {
                let sent = Instant::now();
                sleep(Duration::from_millis(100)).await;
                assert!(!guard.learn(sent, &answer(status, wait), Instant::now()));
            }
        }
        assert!(guard.state().breaker_closed);
        assert_eq!(guard.state().limit, 2, "cut to the least");
        assert!(guard.enter(Instant::now()).await.is_ok());
        for status in [503, 429] {
            let now = Instant::now();
            guard.learn(now, &answer(status, Some("3")), now);
            assert!(guard.enter(soon(Duration::from_secs(2))).await.is_err());
            assert!(guard.enter(soon(Duration::from_secs(4))).await.is_ok());
        }
    }

    #[test]
    fn retries_are_a_share_of_requests() {
        let guard = Guard::new(&limits(), false);
        while guard.spend_retry() {}
        for _ in 0..100 {
            guard.earn_retry();
        }
        let spent = std::iter::repeat_with(|| guard.spend_retry())
            .take_while(|spent| *spent)
            .count();
        assert_eq!(spent, 20);
    }
}
