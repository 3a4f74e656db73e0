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
use crate::client_addr::TrustedProxies;
use crate::config::Fixed;
use crate::forward::Mesh;
use crate::mesh;
use crate::metrics::Metrics;
use crate::region::{
    self, Condition, HealthPolicy, Hearsay, MAX_REGIONS, RegionIndex, RegionSet, Status,
    WhenAllFail, World,
};
use crate::route::{Action, Route, RouteTable};
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
    /// What all regions together make of each.
    pub world: World,
    /// What other regions say of us.
    pub hearsay: Hearsay,
    /// What other regions say of themselves and of each other.
    pub state: mesh::State,
    /// Connections to other regions.
    pub mesh: Mesh,
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
            .map(|(index, _)| Standing {
                works: self.works(index, &route.action),
                ..self.standing(index, route.available[index.get()], now)
            })
            .collect();
        self.settle(rank(
            &proximity,
            &standing,
            spread(client),
            self.regions.own_index(),
        ))
    }

    /// What the configuration says about failing regions that a ranking would try for want of others.
    pub fn settle(&self, decision: Decision) -> Decision {
        match self.world.policy().quorum.when_all_fail {
            WhenAllFail::Open => decision,
            WhenAllFail::Closed => decision.closed(),
        }
    }

    /// Whether what an action needs works in a region, as that region says.
    pub fn works(&self, index: RegionIndex, action: &Action) -> bool {
        match action {
            Action::Assets => self.world.truth().assets_work(index),
            Action::Upstream { upstream, .. } => {
                self.world.truth().upstream_works(index, &upstream.name)
            }
            Action::Redirect { .. } | Action::Respond { .. } => true,
        }
    }

    /// How a region is doing for requests that have come here, ours included: what cannot be reached from
    /// here is out, whatever others see.
    pub fn standing(&self, index: RegionIndex, has_upstream: bool, now: Instant) -> Standing {
        if index == self.regions.own_index() {
            // While we drain we still answer what has come here: connections end on their own.
            return Standing {
                has_upstream,
                works: true,
                status: Status::Up,
                share: self.hearsay.share(now),
            };
        }
        let health = self.regions.of(index).health();
        let verdict = *self.world.truth().verdict(index);
        let policy = &self.health_policy;
        Standing {
            has_upstream,
            works: true,
            status: Condition::of(&health, &verdict, now, policy).from_here(&health),
            share: region::share(&health, &verdict, now, policy),
        }
    }

    /// How a region is doing for answers to everybody, such as those of DNS: by the word of all regions,
    /// ours included. A region that only we cannot reach stays in.
    pub fn standing_for_world(
        &self,
        index: RegionIndex,
        has_upstream: bool,
        now: Instant,
    ) -> Standing {
        let verdict = *self.world.truth().verdict(index);
        let share = region::share_for_world(&verdict, now, &self.health_policy);
        let share = if index == self.regions.own_index() {
            share.min(self.hearsay.share(now))
        } else {
            share
        };
        Standing {
            has_upstream,
            works: true,
            status: self.condition(index, now).for_world(),
            share,
        }
    }

    /// The condition of a region, ours included.
    pub fn condition(&self, index: RegionIndex, now: Instant) -> Condition {
        let verdict = *self.world.truth().verdict(index);
        let mut health = self.regions.of(index).health();
        if index == self.regions.own_index() {
            health.status = if self.drain.has_started() {
                Status::Draining
            } else {
                Status::Up
            };
        }
        Condition::of(&health, &verdict, now, &self.health_policy)
    }

    /// Judges all regions by what is known now, and shows it.
    pub fn review(&self, now: Instant) {
        self.world.review(&self.regions, &self.state, now);
        for (index, region) in self.regions.iter() {
            let condition = self.condition(index, now);
            self.metrics.region(region, condition);
            let standing = self.standing(index, true, now);
            self.metrics.region_share(region, standing.share);
            let heard = self.state.heard(index);
            self.metrics
                .region_word_age(region, heard.map(|heard| heard.age(now)));
        }
    }
}
