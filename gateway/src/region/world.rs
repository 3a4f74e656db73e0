//! The one truth about regions: what the data path, DNS, readiness and the dashboard read, worked out
//! anew after every check. Readers take no lock; the one inside is for the checks among themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use arrayvec::ArrayVec;

use super::condition::Verdict;
use super::outlier::{Counts, Outlier, OutlierPolicy};
use super::quorum::{self, Opinion, QuorumPolicy, Tally, Vote, Votes};
use super::word::{HealthWord, Sight};
use super::{Capabilities, MAX_REGIONS, RegionIndex, RegionSet};
use crate::mesh;

/// Words about what works are believed for this many times as long as votes: an upstream that is gone
/// does not return because its region was not heard for a moment.
const WORKS_FRESH: u32 = 10;

/// How words and responses become verdicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldPolicy {
    /// From votes.
    pub quorum: QuorumPolicy,
    /// From responses.
    pub outliers: OutlierPolicy,
}

/// What is known of all regions now.
#[derive(Debug, Default)]
pub struct Truth {
    verdicts: [Verdict; MAX_REGIONS],
    /// By region index, whether it lacks the means to serve assets.
    without_assets: [bool; MAX_REGIONS],
    /// Upstreams that somebody cannot reach, and by region index whether it is that one.
    unreachable_upstreams: BTreeMap<String, [bool; MAX_REGIONS]>,
}

impl Truth {
    /// The verdict on a region.
    pub fn verdict(&self, region: RegionIndex) -> &Verdict {
        &self.verdicts[region.get()]
    }

    /// Whether it can serve assets, as it says.
    pub fn assets_work(&self, region: RegionIndex) -> bool {
        !self.without_assets[region.get()]
    }

    /// Whether it can reach an upstream, as it says.
    pub fn upstream_works(&self, region: RegionIndex, upstream: &str) -> bool {
        // Nearly always empty, and then not even compared.
        !self
            .unreachable_upstreams
            .get(upstream)
            .is_some_and(|regions| regions[region.get()])
    }
}

/// The truth, and what it is worked out from.
#[derive(Debug)]
pub struct World {
    truth: ArcSwap<Truth>,
    memory: Mutex<Memory>,
    policy: WorldPolicy,
}

#[derive(Debug, Default)]
struct Memory {
    opinions: [Opinion; MAX_REGIONS],
    outliers: [Outlier; MAX_REGIONS],
    own: Capabilities,
}

impl World {
    /// Everybody is taken to be up.
    pub fn new(policy: WorldPolicy) -> Self {
        Self {
            truth: ArcSwap::default(),
            memory: Mutex::default(),
            policy,
        }
    }

    /// What is known now.
    pub fn truth(&self) -> Guard<Arc<Truth>> {
        self.truth.load()
    }

    /// By what it is judged.
    pub fn policy(&self) -> &WorldPolicy {
        &self.policy
    }

    /// Takes in how the requests carried to a region ended. Returns whether it is ejected now.
    pub fn look_at_responses(&self, region: RegionIndex, counts: Counts, now: Instant) -> bool {
        self.memory().outliers[region.get()].look(counts, now, &self.policy.outliers)
    }

    /// Takes in what works here.
    pub fn set_own_capabilities(&self, capabilities: Capabilities) {
        self.memory().own = capabilities;
    }

    /// What works here, as last found out.
    pub fn own_capabilities(&self) -> Capabilities {
        self.memory().own.clone()
    }

    /// Judges every region anew.
    pub fn review(&self, regions: &RegionSet, state: &mesh::State, now: Instant) {
        let mut memory = self.memory();
        let mut truth = Truth::default();
        let mut down = ArrayVec::<_, MAX_REGIONS>::new();
        for (index, _) in regions.iter() {
            let at = index.get();
            let votes = votes(regions, state, &self.truth.load(), index, now);
            let tally = Tally::of(&votes, self.policy.quorum.fresh);
            let opinion = memory.opinions[at].after(tally, now, &self.policy.quorum);
            memory.opinions[at] = opinion;
            truth.verdicts[at] = Verdict {
                down_since: opinion.down_since,
                is_kept_in: false,
                returned_at: opinion.returned_at,
                is_ejected: memory.outliers[at].is_ejected(now),
                tally,
            };
            if let Some(since) = opinion.down_since {
                down.push((since, index));
            }
        }
        for kept in quorum::kept_in(down, regions.len(), &self.policy.quorum) {
            truth.verdicts[kept.get()].is_kept_in = true;
        }
        for (index, _) in regions.iter() {
            let capabilities =
                capabilities(state, index, now, self.policy.quorum.fresh * WORKS_FRESH);
            if index == regions.own_index() {
                truth.take_in(index, &memory.own);
            } else if let Some(capabilities) = capabilities {
                truth.take_in(index, &capabilities);
            }
        }
        self.truth.store(Arc::new(truth));
    }

    /// What we tell the others.
    pub fn word(&self, regions: &RegionSet, now: Instant) -> HealthWord {
        let truth = self.truth();
        let sights = regions.peers().map(|(index, region)| {
            let is_ejected = truth.verdict(index).is_ejected;
            let sight = Sight::of(&region.health(), is_ejected, now);
            (region.name.to_string(), sight)
        });
        HealthWord {
            sights: sights.collect(),
            capabilities: Some(self.own_capabilities()),
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Nothing in there is left half done by a panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Truth {
    fn take_in(&mut self, region: RegionIndex, capabilities: &Capabilities) {
        self.without_assets[region.get()] = !capabilities.assets;
        for (name, works) in &capabilities.upstreams {
            if !works {
                let regions = self.unreachable_upstreams.entry(name.clone()).or_default();
                regions[region.get()] = true;
            }
        }
    }
}

/// Everybody's word on `judged`, except its own.
pub(crate) fn votes(
    regions: &RegionSet,
    state: &mesh::State,
    truth: &Truth,
    judged: RegionIndex,
    now: Instant,
) -> Votes {
    let region = regions.of(judged);
    let vote = |(from, _): (RegionIndex, _)| {
        if from == judged {
            return None;
        }
        let (sight, heard) = if from == regions.own_index() {
            let is_ejected = truth.verdict(judged).is_ejected;
            let sight = Sight::of(&region.health(), is_ejected, now);
            (sight, Duration::ZERO)
        } else {
            let heard = state.heard(from)?;
            let sight = *heard.record.health.sights.get(region.name.as_str())?;
            (sight, heard.age(now))
        };
        Some(Vote {
            from,
            sees: sight.sees,
            age: sight.age(heard),
        })
    };
    regions.iter().filter_map(vote).collect()
}

/// What another region said of what works there, if that was not too long ago.
pub(crate) fn capabilities(
    state: &mesh::State,
    region: RegionIndex,
    now: Instant,
    fresh: Duration,
) -> Option<Capabilities> {
    let heard = state.heard(region)?;
    if heard.age(now) > fresh {
        return None;
    }
    heard.record.health.capabilities.clone()
}
