//! A budget of requests per second: when may the next request leave?
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): one moment in time instead of a counter and
//! a timer. A request is given its turn when it asks, so turns come in the order of asking and nobody
//! polls. Pure: time goes in, a wait comes out. Sleeping is the caller's.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Turns at a steady rate, with room for a burst after quiet.
#[derive(Debug)]
pub(super) struct RequestRate {
    /// Between two turns at the steady rate.
    interval: Duration,
    /// How far turns may run ahead of the steady rate: a burst, less the one that is due.
    tolerance: Duration,
    /// When the next request would be due at the steady rate: the "theoretical arrival time".
    due: Option<Instant>,
}

impl RequestRate {
    /// `burst` requests may leave at once after quiet; less than one is one.
    pub(super) fn new(per_second: NonZeroU32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.saturating_sub(1)),
            due: None,
        }
    }

    /// Takes the next turn and says how long to wait for it. If that is longer than `patience`, no turn
    /// is taken, and the error says how long it would have been.
    pub(super) fn take(&mut self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        let ahead = self.ahead(now);
        let wait = ahead.saturating_sub(self.tolerance);
        if wait > patience {
            return Err(wait);
        }
        self.due = Some(now + ahead + self.interval);
        Ok(wait)
    }

    /// How many turns could be taken now without waiting.
    pub(super) fn spare(&self, now: Instant) -> usize {
        let ahead = self.ahead(now);
        match self.tolerance.checked_sub(ahead) {
            Some(room) => (room.as_nanos() / self.interval.as_nanos().max(1)) as usize + 1,
            None => 0,
        }
    }

    /// How far the turns already given run ahead of the steady rate.
    fn ahead(&self, now: Instant) -> Duration {
        self.due
            .map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(3600);

    fn rate(per_second: u32, burst: u32) -> RequestRate {
        RequestRate::new(NonZeroU32::new(per_second).expect("not zero"), burst)
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_in_order() {
        let (mut rate, now) = (rate(10, 3), Instant::now());
        let waits: Vec<u128> = (0..6)
            .map(|_| rate.take(now, PATIENT).expect("patience").as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
    }

    #[test]
    fn who_cannot_wait_takes_no_turn() {
        let (mut rate, now) = (rate(10, 1), Instant::now());
        assert_eq!(rate.take(now, Duration::ZERO), Ok(Duration::ZERO));
        for _ in 0..5 {
            let wait = rate.take(now, Duration::from_millis(99));
            assert_eq!(wait, Err(Duration::from_millis(100)));
        }
        let later = now + Duration::from_millis(100);
        assert_eq!(rate.take(later, Duration::ZERO), Ok(Duration::ZERO));
    }

    #[test]
    fn spare_is_what_can_be_taken_without_waiting() {
        let (mut rate, now) = (rate(10, 4), Instant::now());
        for spare in (0..=4).rev() {
            assert_eq!(rate.spare(now), spare);
            let _ = rate.take(now, PATIENT);
        }
        assert_eq!(rate.spare(now + Duration::from_secs(60)), 4);
    }

    proptest! {
        /// No window of any length sees more than the burst and the rate's share of the window.
        #[test]
        fn no_window_sees_more_than_burst_and_rate(
            per_second in 1u32..500,
            burst in 0u32..20,
            gaps in prop::collection::vec(0u64..30_000, 1..120),
        ) {
            let mut rate = rate(per_second, burst);
            let start = Instant::now();
            let mut now = start;
            let mut sent = Vec::new();
            for gap in gaps {
                now += Duration::from_micros(gap);
                if let Ok(wait) = rate.take(now, Duration::from_millis(200)) {
                    sent.push(now + wait - start);
                }
            }
            for (i, first) in sent.iter().enumerate() {
                for (j, last) in sent.iter().enumerate().skip(i) {
                    let window = (*last - *first).as_secs_f64();
                    let most = f64::from(burst.max(1)) + window * f64::from(per_second);
                    prop_assert!((j - i + 1) as f64 <= most + 0.001, "{} in {window} s", j - i + 1);
                }
            }
        }
    }
}
