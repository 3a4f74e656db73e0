//! What each region is, and how it is doing as seen from here.

mod health;

mod health_check;

mod hearsay;

use std::time::Instant;

use arc_swap::ArcSwap;
use geo_db::{Point, RegionPoint, RegionSlug};
use http::HeaderValue;
use http::uri::{Authority, Scheme};

pub use self::health::{Health, HealthPolicy, Observation, Status};
pub(crate) use self::health_check::{PATH as HEALTH_PATH, look, run as run_health_checks};
pub use self::hearsay::Hearsay;

/// Most regions one fleet can have; DigitalOcean has 14.
pub const MAX_REGIONS: usize = geo_db::MAX_REGIONS;

/// A region's place in its [`RegionSet`], as the configuration lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegionIndex(pub(crate) u8);

impl RegionIndex {
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
            mesh,
            public_url,
            health: ArcSwap::from_pointee(Health::unknown()),
        }
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
