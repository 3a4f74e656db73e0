//! The ranking of the regions for one client, with the reason for each place.

use arrayvec::ArrayVec;

use super::{ClientGroup, RttSource};
use crate::region::{MAX_REGIONS, RegionIndex};

/// Why a region has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An override sends this client's network here.
    Pinned,
    /// A preference list of the route or of the client's group names it.
    Preferred,
    /// Lowest expected round trip of all that can serve, by measurements of this client's network.
    Measured,
    /// Tried instead of the best one, to learn how far it is.
    Explored,
    /// Lowest expected round trip of all that can serve, by the model.
    Nearest,
    /// Can serve; others are nearer.
    Farther,
    /// The client's place is not known; regions stand in the order of the configuration, ours first.
    UnknownLocation,
    /// Its weight leaves this client to others.
    Weight,
    /// Has just returned and gets its users back slowly; this client is not among them yet.
    SlowStart,
    /// Is busy and sends a part of its users away; this client is among them.
    Spilled,
    /// Has no room for this client, whose own region has sent it away.
    Full,
    /// Nothing seems to be up, so the nearest are tried all the same.
    FailOpen,
    /// Finishes what it has: its process ends.
    Draining,
    /// An operator has drained it.
    Drained,
    /// Did not answer its health checks.
    Down,
    /// Answers, but has lost what the route needs.
    NotWorking,
    /// The route's upstream has no endpoints there.
    WithoutUpstream,
    /// The data of this tenant or route must not leave other regions.
    Residency,
}

impl Reason {
    /// The word for logs, the admin API and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Measured => "measured",
            Self::Explored => "explored",
            Self::Preferred => "preferred",
            Self::Nearest => "nearest",
            Self::Farther => "farther",
            Self::UnknownLocation => "unknown_location",
            Self::Weight => "weight",
            Self::SlowStart => "slow_start",
            Self::Spilled => "spilled",
            Self::Full => "full",
            Self::FailOpen => "fail_open",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Down => "down",
            Self::NotWorking => "not_working",
            Self::WithoutUpstream => "without_upstream",
            Self::Residency => "residency",
        }
    }

    /// Whether a request may be sent there.
    pub fn is_usable(self) -> bool {
        !matches!(
            self,
            Self::Draining
                | Self::Drained
                | Self::Down
                | Self::NotWorking
                | Self::WithoutUpstream
                | Self::Residency
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
    /// Where that comes from.
    pub source: RttSource,
}

/// All regions, best first; those that cannot be used come last.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The ranking.
    pub places: ArrayVec<Place, MAX_REGIONS>,
    /// Where the client would be answered if everything were up and had room.
    pub ideal: Option<RegionIndex>,
    /// Where the client comes from, for metrics.
    pub group: ClientGroup,
    /// Where it would be answered now if every region had room: whose demand it is part of.
    pub home: Option<RegionIndex>,
    /// Whether other networks (/24, or /48 for IPv6) of the same place may be answered otherwise.
    pub is_by_network: bool,
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

    /// A region's place.
    pub fn place_of(&self, region: RegionIndex) -> Option<&Place> {
        self.places.iter().find(|place| place.region == region)
    }

    /// The region to try first.
    pub fn best(&self) -> Option<RegionIndex> {
        self.usable().next().map(|place| place.region)
    }
}
