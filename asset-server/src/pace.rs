//! Bytes per second that a tool may move, over all that it does at once.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Spreads bytes over time. Without a rate it costs nothing.
#[derive(Debug)]
pub struct Pace {
    rate: Option<NonZeroU64>,
    /// When all that was let through so far is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    /// `rate` in bytes per second.
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Waits until `bytes` more may have moved.
    pub async fn take(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            *paid = due(*paid, now, bytes, rate);
            *paid
        };
        tokio::time::sleep_until(until).await;
    }
}

/// When `bytes` are paid for. Time in which nothing moved is not saved up.
fn due(paid: Instant, now: Instant, bytes: u64, rate: NonZeroU64) -> Instant {
    let seconds = bytes as f64 / rate.get() as f64;
    let cost = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600));
    paid.max(now) + cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_idle_time_is_not_saved_up() {
        let rate = NonZeroU64::new(1000).expect("not 0");
        let start = Instant::now();
        let once = due(start, start, 500, rate);
        assert_eq!(once - start, Duration::from_millis(500));
        assert_eq!(due(once, start, 500, rate) - start, Duration::from_secs(1));
        let later = start + Duration::from_secs(60);
        assert_eq!(
            due(once, later, 500, rate) - later,
            Duration::from_millis(500)
        );
        // Absurd amounts do not overflow.
        let slowest = NonZeroU64::MIN;
        assert!(due(start, start, u64::MAX, slowest) > start);
    }
}
