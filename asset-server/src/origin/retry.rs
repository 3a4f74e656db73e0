//! What may be asked again, and when. GET and HEAD are safe to repeat while nothing of the answer was
//! passed on; a body that breaks in the middle is not repeated here.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::OriginError;
use crate::cache::freshness::http_date;

/// Ceiling of the first pause; it doubles with every retry.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Ceiling of all pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// More than this is not believed: a mistake in a header must not silence a store for a day.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Whether the same request may fare better in a moment. A timeout has cost enough already.
pub(super) fn may_pass(error: &OriginError) -> bool {
    match error {
        OriginError::Unreachable(_) | OriginError::SlowDown { .. } => true,
        OriginError::Status(status) => *status >= 500,
        _ => false,
    }
}

/// The pause before retry number `retry` (from 1): exponential with full jitter, which spreads a
/// crowd better than any half (M. Brooker, "Exponential Backoff and Jitter", 2015). `random` is in
/// 0..1.
pub(super) fn backoff(retry: u32, random: f64) -> Duration {
    let doubled = 2u32.saturating_pow(retry.saturating_sub(1));
    let ceiling = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

/// What a response says of when to ask again.
pub(super) fn retry_after_of(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    retry_after(value.as_bytes(), SystemTime::now())
}

/// A `Retry-After` field's value, as a time from now: seconds, or a date (RFC 9110 section 10.2.3).
/// `None` if it is neither; a date in the past is no wait; at most five minutes.
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = value.trim_ascii();
    let wait = if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let seconds = value.iter().fold(0u64, |seconds, digit| {
            seconds
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        Duration::from_secs(seconds)
    } else {
        http_date(Some(value))?
            .duration_since(now)
            .unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("Sun, 06 Nov 2044 08:40:00 GMT", Some(300)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let wait = retry_after(value.as_bytes(), now);
            assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{value:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_are_drawn_from_nothing_up() {
        let longest: Vec<u128> = [1, 2, 3, 7, 40, u32::MAX]
            .map(|retry| backoff(retry, 1.0).as_millis())
            .into();
        assert_eq!(longest, [100, 200, 400, 5000, 5000, 5000]);
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
        assert_eq!(backoff(3, 0.5), Duration::from_millis(200));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_bounded_wait_or_none(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let wait = retry_after(&value, SystemTime::now());
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
        }
    }
}
