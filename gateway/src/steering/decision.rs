//! The ranking of the regions for one client, with the reason for each place.

use arrayvec::ArrayVec;

use crate::region::{MAX_REGIONS, RegionIndex};

/// Why a region has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An override sends this client's network here.
    Pinned,
    /// Lowest expected round trip of all that can serve.
    Nearest,
    /// Can serve; others are nearer.
    Farther,
    /// The client's place is not known; regions stand in the order of the configuration, ours first.
    UnknownLocation,
    /// Has just returned and gets its users back slowly; this client is not among them yet.
    SlowStart,
    /// Nothing seems to be up, so the nearest are tried all the same.
    FailOpen,
    /// Finishes what it has.
    Draining,
    /// Did not answer its health checks.
    Down,
    /// Answers, but has lost what the route needs.
    NotWorking,
    /// The route's upstream has no endpoints there.
    WithoutUpstream,
}

impl Reason {
    /// The word for logs, the admin API and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Nearest => "nearest",
            Self::Farther => "farther",
            Self::UnknownLocation => "unknown_location",
            Self::SlowStart => "slow_start",
            Self::FailOpen => "fail_open",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::NotWorking => "not_working",
            Self::WithoutUpstream => "without_upstream",
        }
    }

    /// Whether a request may be sent there.
    pub fn is_usable(self) -> bool {
        !matches!(
            self,
            Self::Draining | Self::Down | Self::NotWorking | Self::WithoutUpstream
        )
    }
}

/// One region in a ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The region.
    pub region: RegionIndex,
    /// Why it stands here.
    pub reason: Reason,
    /// Great-circle distance to the client in kilometres, where its place is known.
    pub km: Option<f32>,
    /// Expected round trip to the client in milliseconds, where its place is known.
    pub rtt_ms: Option<f32>,
}

/// All regions, best first; those that cannot be used come last.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The ranking.
    pub places: ArrayVec<Place, MAX_REGIONS>,
    /// Where the client would be answered if everything were up and had room.
    pub ideal: Option<RegionIndex>,
}

impl Decision {
    /// Takes back that failing regions are tried for want of others.
    #[must_use]
    pub fn closed(mut self) -> Self {
        for place in &mut self.places {
            if place.reason == Reason::FailOpen {
                place.reason = Reason::Down;
            }
        }
        self
    }

    /// Regions to try, best first.
    pub fn usable(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.reason.is_usable())
    }

    /// The region to try first.
    pub fn best(&self) -> Option<RegionIndex> {
        self.usable().next().map(|place| place.region)
    }
}
