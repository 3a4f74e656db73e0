//! From what several regions see of one to a verdict that holds for the whole world. Pure: votes and
//! time in, verdict out.
//!
//! - A vote counts while it is fresh. One that is not is shown as stale and says nothing.
//! - A region is down for the world when more than half of the fresh votes say that it fails. The judged
//!   region has no vote on itself. With a single fresh vote, that vote decides.
//! - It is up again when that has not been so for `hold` on end: what alternates faster stays down.
//! - Health removes at most a share of all regions at once. Beyond it, failing open, those that failed
//!   last stay in: many failures at once speak against the observers.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::{MAX_REGIONS, RegionIndex};

/// What one region sees of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sees {
    /// It answers.
    Answers,
    /// It answers, and wants no new work.
    Draining,
    /// It does not answer, or fails most of what it is given.
    Fails,
    /// Nothing yet; also what a newer gateway says and we do not understand.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Sees {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Draining => "draining",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }
}

/// One region's word on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who says so.
    pub from: RegionIndex,
    /// What it sees.
    pub sees: Sees,
    /// Time since it looked, by the clocks that each part was measured with.
    pub age: Duration,
}

/// Votes on one region.
pub(crate) type Votes = ArrayVec<Vote, MAX_REGIONS>;

/// How votes become a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuorumPolicy {
    /// How long a vote counts.
    pub fresh: Duration,
    /// How long a region that was down must be seen up.
    pub hold: Duration,
    /// The share of all regions that health may remove at once, 0 to 1.
    pub max_removed: f32,
    /// What happens beyond that.
    pub when_all_fail: WhenAllFail,
}

/// What to do when more regions fail than can be true, or all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WhenAllFail {
    /// Go on using some: the observers are more likely wrong than the world.
    #[default]
    Open,
    /// Use none that fails.
    Closed,
}

/// Fresh votes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// That it answers.
    pub answers: u8,
    /// That it fails.
    pub fails: u8,
    /// Too old to count.
    pub stale: u8,
}

impl Tally {
    /// Counts the votes that are not older than `fresh`.
    pub fn of(votes: &[Vote], fresh: Duration) -> Self {
        votes.iter().fold(Self::default(), |mut tally, vote| {
            match vote.sees {
                Sees::Unknown => {}
                _ if vote.age > fresh => tally.stale += 1,
                Sees::Answers | Sees::Draining => tally.answers += 1,
                Sees::Fails => tally.fails += 1,
            }
            tally
        })
    }

    /// Whether it is down by majority; `None` while nobody has a fresh word.
    pub fn is_down(self) -> Option<bool> {
        (self.answers + self.fails > 0).then_some(self.fails > self.answers)
    }
}

/// What the world thinks of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Since when it is down.
    pub down_since: Option<Instant>,
    /// When it came back; `None` where it was never down after it was up.
    pub returned_at: Option<Instant>,
    /// Since when the votes say that it is up while it still counts as down.
    well_since: Option<Instant>,
    was_up: bool,
}

impl Opinion {
    /// The opinion after one more count.
    #[must_use]
    pub fn after(self, tally: Tally, now: Instant, policy: &QuorumPolicy) -> Self {
        match (tally.is_down(), self.down_since) {
            (Some(true), since) => Self {
                down_since: Some(since.unwrap_or(now)),
                well_since: None,
                ..self
            },
            (Some(false), None) => Self {
                was_up: true,
                ..self
            },
            (Some(false), Some(_)) => {
                let well_since = self.well_since.unwrap_or(now);
                if now.saturating_duration_since(well_since) < policy.hold {
                    return Self {
                        well_since: Some(well_since),
                        ..self
                    };
                }
                Self {
                    down_since: None,
                    returned_at: self.was_up.then_some(now),
                    well_since: None,
                    was_up: true,
                }
            }
            (None, _) => Self {
                well_since: None,
                ..self
            },
        }
    }
}

/// Most regions of `total` that health may remove: the share of them, rounded up, and never all.
pub(super) fn limit(total: usize, max_removed: f32) -> usize {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most MAX_REGIONS, and not negative"
    )]
    let share = (total as f32 * max_removed.clamp(0.0, 1.0)).ceil() as usize;
    share.min(total.saturating_sub(1))
}

/// Which of the regions that are `down`, each with its time, stay in all the same.
pub(super) fn kept_in(
    mut down: ArrayVec<(Instant, RegionIndex), MAX_REGIONS>,
    total: usize,
    policy: &QuorumPolicy,
) -> ArrayVec<RegionIndex, MAX_REGIONS> {
    if policy.when_all_fail == WhenAllFail::Closed {
        return ArrayVec::new();
    }
    down.sort();
    down.into_iter()
        .skip(limit(total, policy.max_removed))
        .map(|(_, region)| region)
        .collect()
}

#[cfg(test)]
mod tests;
