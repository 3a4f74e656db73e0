//! A retry budget: retries may be a fifth of the traffic, so that an upstream in trouble is not asked
//! several times as often as one that is well.

use std::sync::atomic::{AtomicI64, Ordering};

/// What one retry costs, in thousandths of a retry.
const RETRY: i64 = 1000;
/// What one request earns: a fifth.
const EARNED: i64 = RETRY / 5;
/// Saved up at most, and given to begin with, so that the first failures may be retried too.
const SAVED: i64 = 20 * RETRY;

/// The budget of one upstream or of all carried requests.
#[derive(Debug)]
pub struct RetryBudget(AtomicI64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// A full budget.
    pub fn new() -> Self {
        Self(AtomicI64::new(SAVED))
    }

    /// Counts a request.
    pub fn earn(&self) {
        if self.0.load(Ordering::Relaxed) < SAVED {
            self.0.fetch_add(EARNED, Ordering::Relaxed);
        }
    }

    /// Whether there is budget for one retry; if so it is spent.
    pub fn spend(&self) -> bool {
        let spend = |saved: i64| (saved >= RETRY).then_some(saved - RETRY);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;

    #[test]
    fn retries_are_a_fifth_of_the_traffic_in_the_long_run() {
        let budget = RetryBudget::new();
        let retries = (0..1000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        // 20 saved, and a fifth of the 999 that found the budget less than full.
        assert_eq!(retries.count(), 219);
    }
}
