//! A region's gateway as a whole: built from a configuration, serving until it is drained.

mod balance;

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
use serving::secret::Secret;

pub use self::start::{Gateway, StartError};
use crate::admission::Admission;
use crate::certificates::Certificates;
use crate::client_addr::TrustedProxies;
use crate::config::Fixed;
use crate::learning::{Learning, unix_now};
use crate::mesh;
use crate::metrics::Metrics;
use crate::region::{
    self, Condition, Drains, HealthPolicy, Hearsay, Load, MAX_REGIONS, RegionIndex, RegionSet,
    Status, WhenAllFail, World,
};
use crate::route::{Action, Route, RouteTable, Rules, Tenants};
use crate::steering::{
    Balance, ClientGroup, Decision, Preferences, Prefix, SpillPolicy, Stage, Standing, Ways,
    decide, explore, may_explore, spread,
};
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
    /// How far clients really are.
    pub learning: Learning,
    /// How clients are told of better regions.
    pub correction: CorrectionConfig,
    /// How busy this gateway is.
    pub load: ArcSwap<Load>,
    /// What each region keeps of its users and takes of others', by load.
    pub balance: ArcSwap<Balance>,
    /// When regions send users away.
    pub spill: SpillPolicy,
    /// Orders of operators to drain regions.
    pub drains: Drains,
    /// Which groups of clients prefer which regions.
    pub preferences: Preferences,
    /// Links to other regions.
    pub mesh: mesh::Links,
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
    /// Whose hosts have rules of their own.
    pub tenants: Tenants,
}

impl Settings {
    /// What a request for `host` asks of regions, by its route and its tenant.
    pub fn rules<'a>(&'a self, route: Option<&'a Route>, host: &str) -> Rules<'a> {
        Rules::of(route, self.tenants.of_host(host))
    }

    /// What a name asks of regions, before there is a request.
    pub fn rules_of_name(&self, name: &str) -> Rules<'_> {
        Rules::of_name(name, &self.routes, &self.tenants)
    }
}

/// Where assets come from.
pub enum Assets {
    /// The asset server in this process.
    Embedded(AssetServer),
    /// An asset server of its own.
    Remote(Arc<Upstream>),
}

/// How clients are told of better regions, and of why.
#[derive(Debug, Default)]
pub struct CorrectionConfig {
    /// For how long an `Alt-Svc` counts that names a better region; `None` is never sent.
    pub alt_svc: Option<Duration>,
    /// Who may ask for `x-edge-explain` with this token.
    pub explain_token: Option<Secret>,
    /// Whether everybody may, as in the demo.
    pub explain_to_all: bool,
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
    /// Ranks the regions for a client whose request has come here, under the rules of its host and route.
    pub fn steer(&self, client: IpAddr, rules: &Rules<'_>, now: Instant) -> Decision {
        self.decide(client, rules, now, Stage::Arrived(self.regions.own_index()))
    }

    /// Ranks the regions for an answer that says where to go, such as one of DNS. It may explore.
    pub fn steer_answer(&self, client: IpAddr, rules: &Rules<'_>, now: Instant) -> Decision {
        self.decide(client, rules, now, Stage::Answer)
    }

    fn decide(&self, client: IpAddr, rules: &Rules<'_>, now: Instant, stage: Stage) -> Decision {
        let location = self.geo.lookup(client);
        let preference = rules.preference_of(&self.preferences, client, &location);
        let standing: ArrayVec<Standing, MAX_REGIONS> = self
            .regions
            .iter()
            .map(|(index, _)| {
                let standing = match stage {
                    Stage::Arrived(_) => self.standing(index, true, now),
                    Stage::Answer => self.standing_for_world(index, true, now),
                };
                let works = rules.needs.is_none_or(|action| self.works(index, action));
                rules.apply(Standing { works, ..standing }, index, preference)
            })
            .collect();
        let learnt = self.learning.snapshot();
        let (mut decision, sources) = decide(
            self.costs.nearest(&location),
            learnt.get(Prefix::of(client)),
            &standing,
            spread(client),
            self.regions.own_index(),
        );
        decision.group = ClientGroup::of(location.country);
        let exploration = self.learning.exploration;
        decision.is_by_network = learnt.get(Prefix::of(client)).is_some()
            || standing.iter().any(Standing::takes_a_part)
            || (rules.preference.is_none() && self.preferences.are_by_network())
            || may_explore(&decision, &sources, exploration);
        if exploration.share > 0.0 {
            explore(
                &mut decision,
                &sources,
                exploration,
                client,
                unix_now(),
                stage,
            );
        }
        self.settle(decision)
    }

    /// The ways between a client, this region and a better one, where all are known.
    pub fn ways(&self, decision: &Decision, better: RegionIndex) -> Option<Ways> {
        let to = |region| decision.place_of(region)?.rtt_ms;
        let between = self.regions.of(better).health().rtt.unwrap_or_default();
        Some(Ways {
            here_ms: to(self.regions.own_index())?,
            better_ms: to(better)?,
            between_ms: between.as_secs_f32() * 1000.0,
        })
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
        let verdict = *self.world.truth().verdict(index);
        let policy = &self.health_policy;
        if index == self.regions.own_index() {
            // While we drain we still answer what has come here: connections end on their own.
            let share = self.hearsay.share(now);
            let mut standing = self.standing_as(index, has_upstream, Status::Up, share, now);
            // Shares follow the load of the last seconds; a crowd is here at once.
            if self.admission.is_full() {
                standing.spill.share = 0.0;
            }
            return standing;
        }
        let health = self.regions.of(index).health();
        let status = Condition::of(&health, &verdict, now, policy).from_here(&health);
        let share = region::share(&health, &verdict, now, policy);
        self.standing_as(index, has_upstream, status, share, now)
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
        let mut share = region::share_for_world(&verdict, now, &self.health_policy);
        if index == self.regions.own_index() {
            share = share.min(self.hearsay.share(now));
        }
        let status = self.condition(index, now).for_world();
        self.standing_as(index, has_upstream, status, share, now)
    }

    /// Health together with orders, weight and load.
    fn standing_as(
        &self,
        index: RegionIndex,
        has_upstream: bool,
        status: Status,
        share: f32,
        now: Instant,
    ) -> Standing {
        Standing {
            has_upstream,
            status,
            is_drained: self.drains.is_drained(index),
            share: share.min(self.drains.share(index, now, &self.health_policy)),
            weight: self.regions.of(index).weight,
            spill: self.balance.load().of(index.get()),
            ..Standing::UP
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
