//! `steering.health`: what regions together make of a region.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::units::Duration;

use super::file::RegionCheckFile;
use crate::region::{OutlierPolicy, QuorumPolicy, WhenAllFail, WorldPolicy};

/// When regions count as down for the whole world, and how many at once.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthFile {
    /// How long a region's word on another counts.
    pub vote_age: Duration,
    /// The share of all regions that health may take out at once, 0 to 1, rounded up; one always stays.
    pub max_removed: f32,
    /// What happens beyond that: `open` goes on using those that failed last, `closed` uses none that fails.
    pub when_all_fail: WhenAllFail,
    /// When a region is ejected for its responses.
    pub outliers: OutliersFile,
}

impl Default for HealthFile {
    fn default() -> Self {
        Self {
            vote_age: Duration::from_secs(3),
            max_removed: 0.5,
            when_all_fail: WhenAllFail::Open,
            outliers: OutliersFile::default(),
        }
    }
}

/// When a region is ejected for what became of the requests that were carried there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutliersFile {
    /// Time over which requests count.
    pub window: Duration,
    /// Fewer requests than this say nothing.
    pub min_requests: u64,
    /// The share of them that must have failed, 0 to 1.
    pub failed_share: f32,
    /// How long the first ejection lasts; each that follows soon lasts twice as long.
    pub ejection: Duration,
    /// The longest ejection.
    pub max_ejection: Duration,
}

impl Default for OutliersFile {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_requests: 20,
            failed_share: 0.5,
            ejection: Duration::from_secs(10),
            max_ejection: Duration::from_secs(300),
        }
    }
}

impl HealthFile {
    pub(super) fn resolve(self, check: &RegionCheckFile) -> Result<WorldPolicy, Invalid> {
        let interval = check.interval.get();
        if self.vote_age.get() <= interval {
            return Err(Invalid::new(
                "vote_age",
                format!(
                    "must be longer than steering.health_check.interval, {}: else no vote ever counts",
                    check.interval
                ),
            ));
        }
        if !(0.0..=1.0).contains(&self.max_removed) {
            return Err(Invalid::new("max_removed", "is a share between 0 and 1"));
        }
        Ok(WorldPolicy {
            quorum: QuorumPolicy {
                fresh: self.vote_age.get(),
                hold: interval.saturating_mul(check.up_after),
                max_removed: self.max_removed,
                when_all_fail: self.when_all_fail,
            },
            outliers: self.outliers.resolve().map_err(|e| e.within("outliers"))?,
        })
    }
}

impl OutliersFile {
    fn resolve(self) -> Result<OutlierPolicy, Invalid> {
        for (key, duration) in [("window", self.window), ("ejection", self.ejection)] {
            if duration.get().is_zero() {
                return Err(Invalid::new(key, "must be longer than 0s"));
            }
        }
        if self.max_ejection.get() < self.ejection.get() {
            return Err(Invalid::new(
                "max_ejection",
                "must not be shorter than ejection",
            ));
        }
        if self.min_requests == 0 {
            return Err(Invalid::new("min_requests", "at least 1 is needed"));
        }
        if !(self.failed_share > 0.0 && self.failed_share <= 1.0) {
            return Err(Invalid::new(
                "failed_share",
                "is a share above 0 and at most 1",
            ));
        }
        Ok(OutlierPolicy {
            window: self.window.get(),
            min_requests: self.min_requests,
            failed_share: self.failed_share,
            ejection: self.ejection.get(),
            max_ejection: self.max_ejection.get(),
        })
    }
}
