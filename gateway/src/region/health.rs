//! Health of a region as a value: what was seen, when, and how much traffic that earns. Pure; the
//! checks themselves are in `health_check`.

use std::time::{Duration, Instant};

/// When a region counts as down, as up, and how slowly it gets its users back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthPolicy {
    /// Failed checks in a row that make it down.
    pub down_after: u32,
    /// Good checks in a row that make it up again.
    pub up_after: u32,
    /// Time over which a region that was down gets its users back.
    pub slow_start: Duration,
}

/// One thing seen of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A check was answered in this time.
    Answered(Duration),
    /// A check failed.
    Failed,
    /// A request could not even connect. One is enough: nobody listens there.
    Unreachable,
    /// It answers, but wants no new work.
    Draining,
}

/// Whether a region can be given requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not looked at yet; used as if it were up.
    Unknown,
    /// Takes requests.
    Up,
    /// Takes none.
    Down,
    /// Finishes what it has.
    Draining,
}

impl Status {
    /// Whether a region can be given requests.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Unknown | Self::Up)
    }

    /// The word for logs, metrics and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Draining => "draining",
        }
    }
}

/// Health of one region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// What it is now.
    pub status: Status,
    /// Since when it has returned from being down; `None` where it never was.
    pub returned_at: Option<Instant>,
    /// Since when it has its present status; `None` before the first look.
    pub since: Option<Instant>,
    /// When it was last looked at.
    pub checked_at: Option<Instant>,
    /// Round trip of the last good check, network and all.
    pub rtt: Option<Duration>,
    /// Checks in a row that spoke against the present status.
    streak: u32,
    /// Whether it was ever up: a fleet that starts is not a fleet that returns.
    was_up: bool,
}

/// The part of its users that a region gets at the very start of its slow start.
const FIRST_SHARE: f32 = 0.1;

impl Health {
    /// Before the first check.
    pub fn unknown() -> Self {
        Self {
            status: Status::Unknown,
            returned_at: None,
            since: None,
            checked_at: None,
            rtt: None,
            streak: 0,
            was_up: false,
        }
    }

    /// The health after one more observation.
    #[must_use]
    pub fn observe(self, observation: Observation, now: Instant, policy: &HealthPolicy) -> Self {
        use Observation::{Answered, Draining, Failed, Unreachable};
        let rtt = match observation {
            Answered(rtt) => Some(rtt),
            _ => self.rtt,
        };
        let was_up = self.was_up || self.status == Status::Up;
        let next = Self {
            checked_at: Some(now),
            rtt,
            was_up,
            ..self
        };
        let become_status = |status, returned_at| Self {
            status,
            returned_at,
            since: next.since.filter(|_| self.status == status).or(Some(now)),
            streak: 0,
            ..next
        };
        match (self.status, observation) {
            (_, Unreachable) => become_status(Status::Down, None),
            (_, Draining) => become_status(Status::Draining, None),
            (Status::Unknown, Answered(_)) => become_status(Status::Up, None),
            (Status::Up, Answered(_)) | (Status::Down, Failed) => Self { streak: 0, ..next },
            (Status::Unknown | Status::Up | Status::Draining, Failed)
                if self.streak + 1 >= policy.down_after =>
            {
                become_status(Status::Down, None)
            }
            (Status::Down | Status::Draining, Answered(_))
                if self.streak + 1 >= policy.up_after =>
            {
                become_status(Status::Up, was_up.then_some(now))
            }
            _ => Self {
                streak: self.streak + 1,
                ..next
            },
        }
    }

    /// Whether the last check spoke against a region that still counts as usable.
    pub fn is_in_doubt(&self) -> bool {
        self.streak > 0 && matches!(self.status, Status::Up | Status::Unknown)
    }

    /// The part of its own users that it should get, 0 to 1.
    pub fn share(&self, now: Instant, policy: &HealthPolicy) -> f32 {
        match (self.status, self.returned_at) {
            (Status::Down | Status::Draining, _) => 0.0,
            (Status::Up, returned_at) => {
                returned_at.map_or(1.0, |at| slow_start(at, now, policy.slow_start))
            }
            (Status::Unknown, _) => 1.0,
        }
    }
}

/// The part of its users that whoever returned `at` gets `now`, if it takes `over` to get all.
pub(super) fn slow_start(at: Instant, now: Instant, over: Duration) -> f32 {
    if over.is_zero() {
        return 1.0;
    }
    let elapsed = now.saturating_duration_since(at).as_secs_f32();
    (FIRST_SHARE + (1.0 - FIRST_SHARE) * elapsed / over.as_secs_f32()).min(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Observation::{Answered, Draining, Failed, Unreachable};
    use super::{Health, HealthPolicy, Observation, Status};

    const POLICY: HealthPolicy = HealthPolicy {
        down_after: 2,
        up_after: 2,
        slow_start: Duration::from_secs(10),
    };
    const OK: Observation = Answered(Duration::from_millis(5));

    fn after(observations: &[Observation]) -> Health {
        let now = Instant::now();
        observations.iter().fold(Health::unknown(), |health, seen| {
            health.observe(*seen, now, &POLICY)
        })
    }

    #[test]
    fn status_follows_observations_with_hysteresis() {
        for (seen, status) in [
            (&[][..], Status::Unknown),
            (&[OK], Status::Up),
            (&[Failed], Status::Unknown),
            (&[Failed, Failed], Status::Down),
            (&[OK, Failed], Status::Up),
            (&[OK, Failed, OK, Failed], Status::Up),
            (&[OK, Failed, Failed], Status::Down),
            (&[OK, Unreachable], Status::Down),
            (&[OK, Unreachable, OK], Status::Down),
            (&[OK, Unreachable, OK, Failed, OK], Status::Down),
            (&[OK, Unreachable, OK, OK], Status::Up),
            (&[OK, Draining], Status::Draining),
            (&[OK, Draining, OK, OK], Status::Up),
            (&[OK, Draining, Failed, Failed], Status::Down),
        ] {
            assert_eq!(after(seen).status, status, "{seen:?}");
        }
    }

    #[test]
    fn a_region_that_was_down_gets_its_users_back_slowly() {
        let start = Instant::now();
        let returned = after(&[OK, Unreachable, OK, OK]);
        let at = returned.returned_at.unwrap();
        assert!(at >= start);
        let share = |seconds| returned.share(at + Duration::from_secs(seconds), &POLICY);
        assert!((share(0) - 0.1).abs() < 1e-6);
        assert!((share(5) - 0.55).abs() < 1e-6);
        assert!((share(60) - 1.0).abs() < f32::EPSILON);
        for started in [after(&[OK]), after(&[Failed, Failed, OK, OK])] {
            assert_eq!(started.returned_at, None, "{started:?}");
            assert!((started.share(start, &POLICY) - 1.0).abs() < f32::EPSILON);
        }
        assert!(after(&[OK, Unreachable]).share(start, &POLICY) < f32::EPSILON);
    }
}
