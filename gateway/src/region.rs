//! What each region is, how it is doing as seen from here, and what all regions together make of that.

mod capabilities;

mod condition;

pub mod drain_order;

mod drains;

mod health;

mod health_check;

mod hearsay;

mod load;

mod outlier;

mod quorum;

mod self_check;

mod word;

mod world;

use std::time::Instant;

use arc_swap::ArcSwap;
use geo_db::{Point, RegionPoint, RegionSlug};
use http::HeaderValue;
use http::uri::{Authority, Scheme};

pub use self::capabilities::Capabilities;
pub use self::condition::{Condition, Verdict, share, share_for_world};
pub use self::drains::Drains;
pub use self::health::{Health, HealthPolicy, Observation, Status};
pub(crate) use self::health_check::{look, run as run_health_checks};
pub use self::hearsay::Hearsay;
pub use self::load::Load;
pub use self::outlier::{Outlier, OutlierPolicy, Traffic};
pub use self::quorum::{Opinion, QuorumPolicy, Sees, Tally, Vote, WhenAllFail};
pub(crate) use self::self_check::run as run_self_check;
pub use self::word::{HealthWord, Sight};
pub use self::world::{Truth, World, WorldPolicy};
pub(crate) use self::world::{capabilities, votes};

/// Most regions one fleet can have; DigitalOcean has 14.
pub const MAX_REGIONS: usize = geo_db::MAX_REGIONS;

/// A region's place in its [`RegionSet`], as the configuration lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegionIndex(pub(crate) u8);

impl RegionIndex {
    /// The first; every set has it.
    pub const FIRST: Self = Self(0);

    /// The index as a number.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// How other regions reach a region's gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
}

/// One region of the fleet.
#[derive(Debug)]
pub struct Region {
    /// Its name.
    pub name: RegionSlug,
    /// Its name as the value of `x-edge-region`.
    pub header: HeaderValue,
    /// Where it stands.
    pub point: Point,
    /// How other regions reach it over a plain link. Only our own may have neither this nor `mesh`.
    pub address: Option<Address>,
    /// How other regions reach its mesh listener: host and port.
    pub mesh: Option<Authority>,
    /// How clients reach it without steering, for redirects: scheme and host.
    pub public_url: Option<String>,
    /// Host and port of `public_url`, without the port where it is the scheme's own.
    pub public_name: Option<Box<str>>,
    /// The part of its users that it gets while all is well, 0 to 1.
    pub weight: f32,
    /// What became of requests that were carried there.
    pub traffic: Traffic,
    health: ArcSwap<Health>,
}

impl Region {
    /// A region that is taken to be up until the first check says otherwise.
    pub fn new(
        name: RegionSlug,
        point: Point,
        address: Option<Address>,
        mesh: Option<Authority>,
        public_url: Option<String>,
    ) -> Self {
        Self {
            name,
            header: HeaderValue::from_str(name.as_str())
                .unwrap_or_else(|_| HeaderValue::from_static("unnamed")),
            point,
            address,
            public_name: public_url.as_deref().map(|url| {
                let name = url.split_once("://").map_or(url, |(_, name)| name);
                without_usual_port(name).into()
            }),
            mesh,
            public_url,
            weight: 1.0,
            traffic: Traffic::default(),
            health: ArcSwap::from_pointee(Health::unknown()),
        }
    }

    /// With another weight than 1.
    #[must_use]
    pub fn with_weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        **self.health.load()
    }

    /// Takes in what a check or a request saw. Returns the new health where its status has changed.
    pub fn observe(
        &self,
        observation: Observation,
        now: Instant,
        policy: &HealthPolicy,
    ) -> Option<Health> {
        let before = self
            .health
            .rcu(|health| health.observe(observation, now, policy));
        let after = self.health();
        (before.status != after.status).then_some(after)
    }
}

/// Host and port as a request names them, without a port that goes without saying.
fn without_usual_port(authority: &str) -> &str {
    let usual = [":443", ":80"];
    let short = usual.iter().find_map(|port| authority.strip_suffix(port));
    short.unwrap_or(authority)
}

/// All regions, in the order of the configuration, and which of them we are.
#[derive(Debug)]
pub struct RegionSet {
    regions: Vec<Region>,
    own: RegionIndex,
}

impl RegionSet {
    /// `own` must be the name of one of at most [`MAX_REGIONS`] regions.
    pub fn new(regions: Vec<Region>, own: &str) -> Option<Self> {
        if regions.len() > MAX_REGIONS {
            return None;
        }
        let own = regions
            .iter()
            .position(|region| region.name.as_str() == own)?;
        let own = RegionIndex(u8::try_from(own).ok()?);
        Some(Self { regions, own })
    }

    /// The region that this process serves.
    pub fn own(&self) -> &Region {
        self.of(self.own)
    }

    /// Its index.
    pub fn own_index(&self) -> RegionIndex {
        self.own
    }

    /// The region of an index of this set.
    pub fn of(&self, index: RegionIndex) -> &Region {
        &self.regions[index.get()]
    }

    /// The index of a name.
    pub fn find(&self, name: &str) -> Option<RegionIndex> {
        self.iter()
            .find(|(_, region)| region.name.as_str() == name)
            .map(|(index, _)| index)
    }

    /// Whether a host, with its port or without, is the name that clients reach one region by.
    pub fn is_name_of_one(&self, host: &str) -> bool {
        let host = without_usual_port(host);
        let mut names = self
            .regions
            .iter()
            .filter_map(|region| region.public_name.as_deref());
        names.any(|name| name.eq_ignore_ascii_case(host))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (RegionIndex, &Region)> {
        (0_u8..).map(RegionIndex).zip(&self.regions)
    }

    /// All but our own.
    pub fn peers(&self) -> impl Iterator<Item = (RegionIndex, &Region)> {
        self.iter().filter(|(index, _)| *index != self.own)
    }

    /// What geo data needs to rank them.
    pub fn points(&self) -> Vec<RegionPoint> {
        self.regions
            .iter()
            .map(|region| RegionPoint {
                name: region.name,
                point: region.point,
            })
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Whether there are none, which a configuration cannot have.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }
}
