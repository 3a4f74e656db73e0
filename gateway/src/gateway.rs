//! A region's gateway as a whole: built from a configuration, serving until it is drained.

pub mod reload;

mod start;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use arrayvec::ArrayVec;
use asset_server::AssetServer;
use geo_db::{CostTable, GeoDb};
use prometheus::Registry;
use serving::drain::Drain;

pub use self::start::{Gateway, StartError};
use crate::admission::Admission;
use crate::certificates::Certificates;
use crate::client_addr::TrustedProxies;
use crate::config::Fixed;
use crate::forward::Mesh;
use crate::mesh;
use crate::metrics::Metrics;
use crate::region::{HealthPolicy, Hearsay, MAX_REGIONS, RegionIndex, RegionSet, Status};
use crate::route::{Route, RouteTable};
use crate::steering::{Decision, Standing, rank, spread};
use crate::upstream::Upstream;

/// Everything a request needs. One a process, shared by all connections.
pub struct Edge {
    /// All regions and how they are doing.
    pub regions: RegionSet,
    /// Where addresses are.
    pub geo: GeoDb,
    /// How far the regions are from anywhere.
    pub costs: CostTable,
    /// When a region counts as down or up.
    pub health_policy: HealthPolicy,
    /// How often regions ask each other.
    pub health_check: RegionCheck,
    /// What other regions say of us.
    pub hearsay: Hearsay,
    /// What other regions say of themselves and of each other.
    pub state: mesh::State,
    /// Connections to other regions.
    pub mesh: Mesh,
    /// Certificates had by ACME.
    pub certificates: Option<Certificates>,
    /// The asset server, if there is one.
    pub assets: Option<Assets>,
    /// What may change while we run.
    pub settings: ArcSwap<Settings>,
    /// The configuration that only a restart changes.
    pub fixed: Fixed,
    /// How many requests may be inside.
    pub admission: Admission,
    /// What is counted.
    pub metrics: Metrics,
    /// Where it is counted.
    pub registry: Registry,
    /// The process's end.
    pub drain: Drain,
}

/// What a reload replaces; open streams keep what they began with.
#[derive(Debug)]
pub struct Settings {
    /// Where requests go.
    pub routes: RouteTable,
    /// What routes point to.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whose word about the client is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where other regions' requests come from.
    pub peers: TrustedProxies,
}

/// Where assets come from.
pub enum Assets {
    /// The asset server in this process.
    Embedded(AssetServer),
    /// An asset server of its own.
    Remote(Arc<Upstream>),
}

/// How often regions ask each other how they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionCheck {
    /// Time between two checks of one region.
    pub interval: Duration,
    /// Time an answer may take.
    pub timeout: Duration,
}

impl Edge {
    /// Ranks the regions for a client of a route.
    pub fn steer(&self, client: IpAddr, route: &Route, now: Instant) -> Decision {
        let proximity = self.costs.nearest(&self.geo.lookup(client));
        let standing: ArrayVec<Standing, MAX_REGIONS> = self
            .regions
            .iter()
            .map(|(index, _)| self.standing(index, route.available[index.get()], now))
            .collect();
        rank(
            &proximity,
            &standing,
            spread(client),
            self.regions.own_index(),
        )
    }

    /// How a region is doing, ours included.
    pub fn standing(&self, index: RegionIndex, has_upstream: bool, now: Instant) -> Standing {
        if index == self.regions.own_index() {
            // While we drain we still answer what has come here: connections end on their own.
            return Standing {
                has_upstream,
                status: Status::Up,
                share: self.hearsay.share(now),
            };
        }
        let health = self.regions.of(index).health();
        Standing {
            has_upstream,
            status: health.status,
            share: health.share(now, &self.health_policy),
        }
    }
}
