//! When a certificate is renewed, how long to wait after a failure, and when to warn. Pure.

use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a certificate is valid, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub from: SystemTime,
    /// Last moment.
    pub until: SystemTime,
}

impl Validity {
    fn lifetime(&self) -> Duration {
        self.until.duration_since(self.from).unwrap_or_default()
    }

    /// Time until the end; zero after it.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.until.duration_since(now).unwrap_or_default()
    }
}

/// When the authority wants a certificate renewed (ACME Renewal Information, RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub start: SystemTime,
    /// Not after.
    pub end: SystemTime,
}

/// The moment of renewal. Inside the authority's window where there is one, else after two thirds of the
/// lifetime; `place` (0 to 1, another one in each region) spreads regions over the window, or over a
/// thirtieth of the lifetime, so that one of them begins and the others find its work done. A window that
/// lies beyond the certificate's end is no help and not heeded.
pub fn due(validity: Validity, window: Option<Window>, place: f64) -> SystemTime {
    let place = if place.is_finite() {
        place.clamp(0.0, 1.0)
    } else {
        0.0
    };
    match window {
        Some(window) if window.start < validity.until => {
            let width = window.end.duration_since(window.start).unwrap_or_default();
            (window.start + width.mul_f64(place)).min(validity.until)
        }
        _ => {
            let lifetime = validity.lifetime();
            validity.from + lifetime.mul_f64(2.0 / 3.0) + (lifetime / 30).mul_f64(place)
        }
    }
}

/// Longest pause between two attempts that the authority did not ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Shortest pause after a rate limit without a time.
const RATE_LIMITED: Duration = Duration::from_secs(3600);

/// The pause after `failures` failed attempts in a row: `first`, doubled each time, six hours at most; at
/// least what the authority asked for (`Retry-After`); and an hour after a rate limit that named no time.
pub fn pause(
    first: Duration,
    failures: u32,
    asked: Option<Duration>,
    rate_limited: bool,
) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LONGEST_PAUSE);
    match (asked, rate_limited) {
        (Some(asked), _) => pause.max(asked),
        (None, true) => pause.max(RATE_LIMITED),
        (None, false) => pause,
    }
}

/// Whether somebody should look: 14 days before the end, or in the last quarter of a certificate that lives
/// shorter than 56 days. Renewal is due long before either.
pub fn is_alarming(validity: Validity, now: SystemTime) -> bool {
    validity.left(now) < (14 * DAY).min(validity.lifetime() / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn days(days: u32) -> Validity {
        Validity {
            from: START,
            until: START + days * DAY,
        }
    }

    #[test]
    fn renewal_is_due_after_two_thirds_or_when_the_authority_says() {
        assert_eq!(due(days(90), None, 0.0), START + 60 * DAY);
        assert_eq!(due(days(90), None, 1.0), START + 63 * DAY);
        let window = Window {
            start: START + 10 * DAY,
            end: START + 12 * DAY,
        };
        assert_eq!(due(days(90), Some(window), 0.5), START + 11 * DAY);
        let late = Window {
            start: START + 91 * DAY,
            end: START + 92 * DAY,
        };
        assert_eq!(due(days(90), Some(late), 0.0), START + 60 * DAY);
        let reversed = Window {
            start: START + 12 * DAY,
            end: START + 10 * DAY,
        };
        assert_eq!(due(days(90), Some(reversed), 0.9), START + 12 * DAY);
    }

    #[test]
    fn pauses_double_and_heed_what_the_authority_asks_for() {
        let first = Duration::from_secs(300);
        let minutes = |failures| pause(first, failures, None, false).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 100].map(minutes), [5, 10, 20, 40, 360]);
        assert_eq!(pause(first, 1, Some(2 * DAY), true), 2 * DAY);
        assert_eq!(pause(first, 1, None, true), RATE_LIMITED);
        assert_eq!(pause(first, 3, Some(first), false), 4 * first);
    }

    #[test]
    fn the_alarm_is_later_than_renewal_and_earlier_than_the_end() {
        for (lifetime, at) in [(90, 77), (6, 5), (365, 352)] {
            let validity = days(lifetime);
            assert!(is_alarming(validity, START + at * DAY), "{lifetime} days");
            assert!(
                !is_alarming(validity, due(validity, None, 1.0)),
                "{lifetime} days"
            );
        }
    }

    proptest! {
        #[test]
        fn renewal_is_always_due_before_the_end(
            from in 0_u64..1 << 33, lifetime in 0_u64..1 << 33, place: f64,
            window in prop::option::of((0_u64..1 << 34, 0_u64..1 << 34)),
        ) {
            let at = |seconds| START + Duration::from_secs(seconds);
            let validity = Validity { from: at(from), until: at(from + lifetime) };
            let window = window.map(|(start, end)| Window { start: at(start), end: at(end) });
            prop_assert!(due(validity, window, place) <= validity.until);
        }
    }
}
