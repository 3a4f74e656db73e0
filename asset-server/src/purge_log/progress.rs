//! How far an instance is in the log: pure, and small whatever the log's length.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::id::{PurgeId, milliseconds};

/// How late a record may turn up: clocks that disagree, and a write that takes its time. S3 itself
/// refuses requests whose clock is a quarter of an hour off.
const SLACK: Duration = Duration::from_secs(300);

/// Which purges have been applied: all up to some time, and of the younger ones those listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Everything older has been applied, or there was nothing in the cache that it could remove.
    /// Milliseconds since 1970.
    complete_before: u64,
    applied: BTreeSet<PurgeId>,
}

impl Progress {
    /// Of a cache that holds nothing older than `now`.
    pub fn of_empty_cache(now: SystemTime) -> Self {
        Self {
            complete_before: milliseconds(now).saturating_sub(SLACK.as_millis() as u64),
            applied: BTreeSet::new(),
        }
    }

    /// The time up to which everything has been applied, in milliseconds since 1970. The log is read
    /// from here.
    pub const fn complete_before(&self) -> u64 {
        self.complete_before
    }

    /// Whether a purge has been applied.
    pub fn has(&self, id: PurgeId) -> bool {
        id.milliseconds() < self.complete_before || self.applied.contains(&id)
    }

    /// A purge has been applied.
    pub fn note(&mut self, id: PurgeId) {
        if id.milliseconds() >= self.complete_before {
            self.applied.insert(id);
        }
    }

    /// Whether a purge counts as applied here that did not in `earlier`, an older state of the same.
    pub fn has_more_than(&self, earlier: &Self) -> bool {
        self.applied.iter().any(|id| !earlier.has(*id))
    }

    /// The log was listed, beginning at `began`. `listed` are all its records from
    /// [`complete_before`](Self::complete_before) on; those not applied yet keep it from growing.
    pub fn listed(&mut self, began: SystemTime, listed: &[PurgeId]) {
        let missing = listed.iter().filter(|id| !self.has(**id));
        let oldest_missing = missing.map(|id| id.milliseconds()).min();
        let quiet = milliseconds(began).saturating_sub(SLACK.as_millis() as u64);
        let complete = oldest_missing.map_or(quiet, |oldest| quiet.min(oldest));
        self.complete_before = self.complete_before.max(complete);
        let complete_before = self.complete_before;
        self.applied
            .retain(|id| id.milliseconds() >= complete_before);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn id(seconds: u64, chance: u64) -> PurgeId {
        PurgeId::new(at(seconds), chance)
    }

    #[test]
    fn a_record_that_turns_up_late_is_still_missing() {
        let mut progress = Progress::of_empty_cache(at(0));
        progress.note(id(100, 1));
        progress.listed(at(110), &[id(100, 1)]);
        // Written by an instance whose clock is two minutes behind.
        assert!(!progress.has(id(10, 2)));
        assert!(progress.has(id(100, 1)));
    }

    #[test]
    fn what_cannot_be_applied_stays_missing_however_long_it_takes() {
        let mut progress = Progress::of_empty_cache(at(0));
        progress.listed(at(5_000), &[id(10, 1)]);
        assert!(!progress.has(id(10, 1)));
        progress.note(id(10, 1));
        progress.listed(at(5_001), &[id(10, 1)]);
        assert!(progress.has(id(10, 1)));
        assert_eq!(progress.applied.len(), 0, "old ids are not kept");
    }

    proptest! {
        #[test]
        fn nothing_counts_as_done_that_was_not_applied(
            steps in prop::collection::vec((0..1000_u64, 0..4_u64, any::<bool>()), 1..60)
        ) {
            let mut progress = Progress::of_empty_cache(at(0));
            let (mut log, mut applied, mut now) = (Vec::new(), BTreeSet::new(), 0);
            for (passed, lag, applies) in steps {
                now += passed;
                // Nobody's clock lags by more than the slack.
                let new = id(now.saturating_sub(lag * 60), log.len() as u64);
                log.push(new);
                let listed: Vec<_> = log.iter().copied()
                    .filter(|id| id.milliseconds() >= progress.complete_before()).collect();
                if applies {
                    for id in &listed {
                        applied.insert(*id);
                        progress.note(*id);
                    }
                }
                progress.listed(at(now), &listed);
                for id in &log {
                    prop_assert!(!progress.has(*id) || applied.contains(id), "{id} at {now}");
                }
            }
        }
    }
}
