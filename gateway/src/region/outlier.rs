//! Passive outlier detection: what became of the requests that were carried to a region. A region may
//! answer every check and yet fail the requests. Pure; `Traffic` is where requests count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a region is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierPolicy {
    /// Time over which requests are counted.
    pub window: Duration,
    /// Fewer requests than this in the window say nothing.
    pub min_requests: u64,
    /// The share of them that must have failed, 0 to 1.
    pub failed_share: f32,
    /// How long the first ejection lasts. Each one that follows soon lasts twice as long.
    pub ejection: Duration,
    /// The longest ejection.
    pub max_ejection: Duration,
}

/// Counts of requests that were carried to one region since the start. The data path adds to them.
#[derive(Debug, Default)]
pub struct Traffic {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Traffic {
    /// The region answered, whatever its application said.
    pub fn succeeded(&self) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    /// It could not be reached, fell silent, hung up, or its gateway failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Both counts.
    pub fn counts(&self) -> Counts {
        Counts {
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered by the region.
    pub succeeded: u64,
    /// Not.
    pub failed: u64,
}

/// Most counts that are remembered of one window.
const MAX_STEPS: usize = 64;

/// What is known of one region's responses.
#[derive(Clone, Debug, Default)]
pub struct Outlier {
    /// Counts at the times at which they were looked at, oldest first.
    steps: VecDeque<(Instant, Counts)>,
    ejected_until: Option<Instant>,
    /// Ejections that still count for the length of the next.
    repeats: u32,
}

impl Outlier {
    /// Whether the region is ejected.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }

    /// Takes in the present counts. Returns whether they eject the region now.
    pub fn look(&mut self, counts: Counts, now: Instant, policy: &OutlierPolicy) -> bool {
        if self.is_ejected(now) {
            // It gets next to nothing now; what it was judged by is used up.
            self.steps.clear();
            return false;
        }
        // Well for as long as the ejection lasted, and one repeat is forgotten.
        if let Some(until) = self.ejected_until
            && self.repeats > 0
            && now.saturating_duration_since(until) > 2 * self.length(self.repeats - 1, policy)
        {
            self.repeats -= 1;
            self.ejected_until = Some(now);
        }
        while let Some((at, _)) = self.steps.front()
            && (self.steps.len() >= MAX_STEPS || now.saturating_duration_since(*at) > policy.window)
        {
            self.steps.pop_front();
        }
        let before = self.steps.front().map_or(counts, |(_, before)| *before);
        self.steps.push_back((now, counts));
        let failed = counts.failed.saturating_sub(before.failed);
        let requests = failed + counts.succeeded.saturating_sub(before.succeeded);
        #[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
        let is_bad = failed > 0 && failed as f32 >= policy.failed_share * requests as f32;
        if requests < policy.min_requests || !is_bad {
            return false;
        }
        self.ejected_until = now.checked_add(self.length(self.repeats, policy));
        self.repeats = self.repeats.saturating_add(1);
        self.steps.clear();
        true
    }

    fn length(&self, repeats: u32, policy: &OutlierPolicy) -> Duration {
        policy
            .ejection
            .saturating_mul(1_u32.checked_shl(repeats.min(31)).unwrap_or(u32::MAX))
            .min(policy.max_ejection)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Counts, Outlier, OutlierPolicy};

    const POLICY: OutlierPolicy = OutlierPolicy {
        window: Duration::from_secs(10),
        min_requests: 20,
        failed_share: 0.5,
        ejection: Duration::from_secs(10),
        max_ejection: Duration::from_secs(60),
    };

    fn counts(succeeded: u64, failed: u64) -> Counts {
        Counts { succeeded, failed }
    }

    #[test]
    fn a_region_is_ejected_for_a_share_of_enough_requests_in_the_window() {
        for (case, first, seconds, second, ejected) in [
            ("too few", counts(0, 0), 1, counts(0, 19), false),
            ("enough", counts(0, 0), 1, counts(10, 10), true),
            ("mostly well", counts(0, 0), 1, counts(11, 10), false),
            ("before the window", counts(0, 0), 11, counts(0, 100), false),
            ("none fails", counts(0, 0), 1, counts(100, 0), false),
            ("old failures", counts(0, 90), 1, counts(20, 90), false),
        ] {
            let start = Instant::now();
            let mut outlier = Outlier::default();
            assert!(!outlier.look(first, start, &POLICY), "{case}");
            let now = start + Duration::from_secs(seconds);
            assert_eq!(outlier.look(second, now, &POLICY), ejected, "{case}");
            assert_eq!(outlier.is_ejected(now), ejected, "{case}");
        }
    }

    #[test]
    fn each_ejection_is_twice_as_long_up_to_the_longest() {
        let mut outlier = Outlier::default();
        let (mut now, mut failed) = (Instant::now(), 0);
        for expected in [10, 20, 40, 60, 60] {
            outlier.look(counts(0, failed), now, &POLICY);
            failed += 100;
            now += Duration::from_secs(1);
            assert!(outlier.look(counts(0, failed), now, &POLICY));
            assert!(outlier.is_ejected(now + Duration::from_secs(expected - 1)));
            now += Duration::from_secs(expected);
            assert!(!outlier.is_ejected(now));
        }
    }

    proptest! {
        #[test]
        fn an_ejection_ends_whatever_was_counted(
            steps in prop::collection::vec((0..50_u64, 0..50_u64, 0..5_000_u64), 1..300),
        ) {
            let (mut now, mut sum, mut outlier) = (Instant::now(), counts(0, 0), Outlier::default());
            for (succeeded, failed, millis) in steps {
                now += Duration::from_millis(millis);
                sum = counts(sum.succeeded + succeeded, sum.failed + failed);
                outlier.look(sum, now, &POLICY);
                prop_assert!(!outlier.is_ejected(now + POLICY.max_ejection));
                prop_assert!(outlier.steps.len() <= super::MAX_STEPS);
            }
        }
    }
}
