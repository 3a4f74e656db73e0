//! The condition of a region with the reason for it: our own observation and the world's verdict made
//! into one. DNS, HTTP steering, readiness and the dashboard all read it here.

use std::time::Instant;

use super::quorum::Tally;
use super::{Health, HealthPolicy, Status, health};

/// What the votes of all regions make of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Since when it is down for the world.
    pub down_since: Option<Instant>,
    /// Whether it is down and used all the same, because too many are.
    pub is_kept_in: bool,
    /// When it returned to the world.
    pub returned_at: Option<Instant>,
    /// Whether its responses here made us eject it.
    pub is_ejected: bool,
    /// The votes that it rests on.
    pub tally: Tally,
}

/// Why a region gets requests, or gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nobody has looked at it yet.
    Unknown,
    /// It is well.
    Up,
    /// It has returned and gets its users back slowly.
    Returning,
    /// It finishes what it has.
    Draining,
    /// We cannot reach it; most others can. Only our own requests avoid it.
    UnreachableFromHere,
    /// Most of our requests there failed. Only our own requests avoid it.
    Ejected,
    /// Most regions with a fresh word see it fail.
    Down,
    /// Most see it fail, but so many regions fail that the observers are doubted.
    FailOpen,
}

impl Condition {
    /// All of them, for metrics.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Up,
        Self::Returning,
        Self::Draining,
        Self::UnreachableFromHere,
        Self::Ejected,
        Self::Down,
        Self::FailOpen,
    ];

    /// The word for logs, metrics and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Returning => "returning",
            Self::Draining => "draining",
            Self::UnreachableFromHere => "unreachable_from_here",
            Self::Ejected => "ejected",
            Self::Down => "down",
            Self::FailOpen => "fail_open",
        }
    }

    /// The condition of a region, from what we see and what the world says.
    pub fn of(health: &Health, verdict: &Verdict, now: Instant, policy: &HealthPolicy) -> Self {
        let share = share(health, verdict, now, policy);
        match health.status {
            Status::Draining => Self::Draining,
            _ if verdict.is_kept_in => Self::FailOpen,
            _ if verdict.down_since.is_some() => Self::Down,
            Status::Down => Self::UnreachableFromHere,
            _ if verdict.is_ejected => Self::Ejected,
            Status::Unknown => Self::Unknown,
            Status::Up if share < 1.0 => Self::Returning,
            Status::Up => Self::Up,
        }
    }

    /// What requests that enter here are steered by: first-hand evidence counts in any case.
    pub fn from_here(self, health: &Health) -> Status {
        match self {
            Self::UnreachableFromHere | Self::Ejected | Self::Down => Status::Down,
            Self::FailOpen | Self::Draining | Self::Unknown | Self::Up | Self::Returning => {
                health.status
            }
        }
    }

    /// What answers to everybody, such as DNS, are steered by: one observer alone counts for nothing.
    pub fn for_world(self) -> Status {
        match self {
            Self::Unknown => Status::Unknown,
            Self::Draining => Status::Draining,
            Self::Down => Status::Down,
            Self::Up
            | Self::Returning
            | Self::UnreachableFromHere
            | Self::Ejected
            | Self::FailOpen => Status::Up,
        }
    }
}

/// The share of its users that a region gets from here: the smaller of what we and the world grant it.
pub fn share(health: &Health, verdict: &Verdict, now: Instant, policy: &HealthPolicy) -> f32 {
    health
        .share(now, policy)
        .min(share_for_world(verdict, now, policy))
}

/// The share of its users that it gets in answers to everybody.
pub fn share_for_world(verdict: &Verdict, now: Instant, policy: &HealthPolicy) -> f32 {
    if verdict.down_since.is_some() {
        return if verdict.is_kept_in { 1.0 } else { 0.0 };
    }
    verdict
        .returned_at
        .map_or(1.0, |at| health::slow_start(at, now, policy.slow_start))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Condition, Verdict, share, share_for_world};
    use crate::region::{Health, HealthPolicy, Observation, Status};

    const POLICY: HealthPolicy = HealthPolicy {
        down_after: 1,
        up_after: 1,
        slow_start: Duration::from_secs(10),
    };

    #[test]
    fn every_mix_of_own_sight_and_verdict_has_its_name_and_its_effect() {
        let now = Instant::now();
        let seen = |what| Health::unknown().observe(what, now, &POLICY);
        let (up, down) = (
            seen(Observation::Answered(Duration::ZERO)),
            seen(Observation::Failed),
        );
        let draining = seen(Observation::Draining);
        let well = Verdict::default();
        let out = Verdict {
            down_since: Some(now),
            ..well
        };
        let kept = Verdict {
            is_kept_in: true,
            ..out
        };
        let ejected = Verdict {
            is_ejected: true,
            ..well
        };
        let returned = Verdict {
            returned_at: Some(now),
            ..well
        };
        for (health, verdict, condition, here, world) in [
            (up, well, Condition::Up, Status::Up, Status::Up),
            (up, out, Condition::Down, Status::Down, Status::Down),
            (up, kept, Condition::FailOpen, Status::Up, Status::Up),
            (down, kept, Condition::FailOpen, Status::Down, Status::Up),
            (up, ejected, Condition::Ejected, Status::Down, Status::Up),
            (up, returned, Condition::Returning, Status::Up, Status::Up),
            (
                down,
                well,
                Condition::UnreachableFromHere,
                Status::Down,
                Status::Up,
            ),
            (down, out, Condition::Down, Status::Down, Status::Down),
            (
                draining,
                well,
                Condition::Draining,
                Status::Draining,
                Status::Draining,
            ),
            (
                Health::unknown(),
                well,
                Condition::Unknown,
                Status::Unknown,
                Status::Unknown,
            ),
        ] {
            let got = Condition::of(&health, &verdict, now, &POLICY);
            assert_eq!(got, condition);
            assert_eq!(got.from_here(&health), here, "{condition:?} from here");
            assert_eq!(got.for_world(), world, "{condition:?} for the world");
        }
        assert!((share_for_world(&returned, now, &POLICY) - 0.1).abs() < 1e-6);
        assert!((share(&up, &returned, now, &POLICY) - 0.1).abs() < 1e-6);
        assert!((share_for_world(&kept, now, &POLICY) - 1.0).abs() < 1e-6);
        assert!(share_for_world(&out, now, &POLICY) < 1e-6);
    }
}
