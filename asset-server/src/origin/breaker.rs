//! When to stop asking a store that does not answer, and when to ask again.
//!
//! Closed, open, half open (M. Nygard, "Release It!", chapter "Stability Patterns"). A dead store then
//! costs a request nothing: it fails at once, and something stale or another origin answers. Pure:
//! every transition takes the time.

use std::time::Duration;

use tokio::time::Instant;

/// How long the breaker stays open first; twice as long after every probe that fails.
const FIRST_OPEN: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_OPEN: Duration = Duration::from_secs(30);
/// A run of failures shorter than this is one event: a connection that breaks fails all its streams.
const SHORTEST_RUN: Duration = Duration::from_millis(200);

/// The breaker of one store.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it; 0 for never.
    threshold: u32,
    /// How long a probe may take before it is given up for lost.
    probe_limit: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Requests pass. `since` is when the first of the failed ones was sent.
    Closed {
        failures: u32,
        since: Option<Instant>,
    },
    /// Requests fail at once.
    Open { until: Instant, span: Duration },
    /// One request is out to see.
    HalfOpen { probe: Instant, span: Duration },
}

const CLOSED: State = State::Closed {
    failures: 0,
    since: None,
};

impl Breaker {
    pub(super) fn new(threshold: u32, probe_limit: Duration) -> Self {
        Self {
            threshold,
            probe_limit,
            state: CLOSED,
        }
    }

    /// How long requests are refused from now, or `None` if one would be admitted.
    pub(super) fn refuses(&self, now: Instant) -> Option<Duration> {
        let until = match self.state {
            State::Closed { .. } => return None,
            State::Open { until, .. } => until,
            State::HalfOpen { probe, .. } => probe + self.probe_limit,
        };
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Lets a request pass, as the probe if the breaker has been open long enough. The error says how
    /// long to stay away.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(left) = self.refuses(now) {
            return Err(left);
        }
        if let State::Open { span, .. } | State::HalfOpen { span, .. } = self.state {
            self.state = State::HalfOpen { probe: now, span };
        }
        Ok(())
    }

    /// The store answered. What it said does not matter here.
    pub(super) fn answered(&mut self) {
        self.state = CLOSED;
    }

    /// A request that was `sent` then got no answer, or a server error. True if that opened it.
    pub(super) fn failed(&mut self, sent: Instant, now: Instant) -> bool {
        match self.state {
            State::Closed { failures, since } => {
                let since = since.map_or(sent, |since| since.min(sent));
                let failures = failures.saturating_add(1);
                let long_enough = now.saturating_duration_since(since) >= SHORTEST_RUN;
                if self.threshold > 0 && failures >= self.threshold && long_enough {
                    self.open(now, FIRST_OPEN);
                    return true;
                }
                self.state = State::Closed {
                    failures,
                    since: Some(since),
                };
            }
            State::HalfOpen { probe, span } if sent >= probe => {
                self.open(now, (span * 2).min(LONGEST_OPEN));
            }
            // Sent before it opened: nothing new.
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
        false
    }

    /// The check of the store as a whole went well, so a request may try sooner.
    pub(super) fn checked(&mut self, now: Instant) {
        if let State::Open { until, span } = self.state {
            self.state = State::Open {
                until: until.min(now),
                span,
            };
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    fn open(&mut self, now: Instant, span: Duration) {
        self.state = State::Open {
            until: now + span,
            span,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Three failures in a row over 300 ms.
    fn opened() -> (Breaker, Instant) {
        let mut breaker = Breaker::new(3, Duration::from_secs(15));
        let mut now = Instant::now();
        for opens in [false, false, true] {
            breaker.admit(now).expect("closed");
            assert_eq!(breaker.failed(now, now + STEP), opens);
            now += STEP;
        }
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now), Err(FIRST_OPEN));
        let later = now + FIRST_OPEN;
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.admit(later).is_err(), "one probe at a time");
        breaker.answered();
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_up_to_a_limit() {
        let (mut breaker, mut now) = opened();
        for seconds in [2, 4, 8, 16, 30, 30] {
            now += LONGEST_OPEN;
            breaker.admit(now).expect("a probe");
            breaker.failed(now, now);
            assert_eq!(breaker.refuses(now), Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breaker = Breaker::new(3, STEP);
        let now = Instant::now();
        for i in 0..20 {
            if i % 3 == 2 {
                breaker.answered();
            } else {
                assert!(!breaker.failed(now, now + 10 * STEP));
            }
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn streams_of_one_broken_connection_are_one_event() {
        let mut breaker = Breaker::new(3, STEP);
        let now = Instant::now();
        for _ in 0..50 {
            breaker.failed(now, now + Duration::from_millis(5));
        }
        assert_eq!(breaker.refuses(now), None);
    }

    #[test]
    fn late_failures_say_nothing_about_the_probe_and_a_lost_probe_is_replaced() {
        let (mut breaker, now) = opened();
        let later = now + FIRST_OPEN;
        breaker.admit(later).expect("a probe");
        breaker.failed(now, later + STEP);
        assert_eq!(breaker.refuses(later), Some(Duration::from_secs(15)));
        assert_eq!(breaker.admit(later + Duration::from_secs(15)), Ok(()));
    }

    #[test]
    fn a_good_check_ends_the_wait() {
        let (mut breaker, now) = opened();
        breaker.checked(now);
        assert_eq!(breaker.admit(now), Ok(()));
        assert!(!breaker.is_closed(), "only an answer closes it");
    }

    #[test]
    fn a_threshold_of_zero_turns_it_off() {
        let mut breaker = Breaker::new(0, STEP);
        let now = Instant::now();
        assert!((0..100).all(|i| !breaker.failed(now, now + i * STEP)));
    }
}
