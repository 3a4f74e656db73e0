//! Fourteen regions, each with its own eyes: what it has seen of the others' health and heard of their
//! load, and what the real steering code makes of it.

use std::time::{Duration, Instant};

use gateway::region::{
    Health, HealthPolicy, Load, Observation, Region, RegionIndex, RegionSet, Status,
};
use gateway::steering::{Balance, RegionLoad, SpillPolicy, Standing, rank};
use geo_db::{CostTable, catalogue};

use crate::clients::{ADDRESSES, Prefix};

/// All of the catalogue.
pub(crate) const REGIONS: usize = 14;

const SECOND: Duration = Duration::from_secs(1);

/// Load of a region that has said nothing for longer is not known.
const FRESH: usize = 5;

/// As `gateway.example.yaml` has it.
pub(crate) const HEALTH: HealthPolicy = HealthPolicy {
    down_after: 2,
    up_after: 3,
    slow_start: Duration::from_secs(60),
};

/// As `gateway.example.yaml` has it.
pub(crate) const SPILL: SpillPolicy = SpillPolicy {
    from: 0.75,
    growth: Duration::from_secs(60),
};

/// What one region knows.
#[derive(Clone, Debug)]
struct Eyes {
    health: Vec<Health>,
    heard: Vec<(Load, usize)>,
    balance: Balance,
}

/// The fleet, and what may happen to it.
pub(crate) struct Fleet {
    /// The regions.
    pub(crate) regions: RegionSet,
    /// What it costs to reach them.
    pub(crate) costs: CostTable,
    /// Which run.
    pub(crate) alive: [bool; REGIONS],
    /// Requests in flight that each can take.
    pub(crate) capacity: [f32; REGIONS],
    /// What each says of its load.
    words: Vec<Load>,
    eyes: Vec<Eyes>,
    start: Instant,
}

impl Fleet {
    /// All regions of the catalogue, up, each with this capacity.
    pub(crate) fn new(capacity: f32) -> Self {
        let regions = catalogue()
            .iter()
            .map(|known| Region::new(known.slug, known.point, None, None, None))
            .collect();
        let regions = RegionSet::new(regions, catalogue()[0].slug.as_str())
            .expect("the catalogue has regions, and the first is one of them");
        let start = Instant::now();
        let up = Health::unknown().observe(Observation::Answered(SECOND), start, &HEALTH);
        let eyes = Eyes {
            health: vec![up; REGIONS],
            heard: vec![(Load::default(), 0); REGIONS],
            balance: Balance::new(REGIONS),
        };
        Self {
            costs: CostTable::new(&regions.points()).expect("fourteen regions fit"),
            regions,
            alive: [true; REGIONS],
            capacity: [capacity; REGIONS],
            words: vec![Load::default(); REGIONS],
            eyes: vec![eyes; REGIONS],
            start,
        }
    }

    /// The index of a region of the catalogue.
    pub(crate) fn index(&self, name: &str) -> usize {
        self.regions
            .find(name)
            .expect("the catalogue has this region")
            .get()
    }

    /// Its name.
    pub(crate) fn name(&self, region: usize) -> &'static str {
        catalogue()[region].slug.as_str()
    }

    fn at(&self, second: usize) -> Instant {
        self.start + SECOND * u32::try_from(second).unwrap_or(u32::MAX)
    }

    /// A second of mesh: each region looks at the others and hears what they said a second ago, then
    /// moves its shares. `linked` says which pairs reach each other.
    pub(crate) fn exchange(
        &mut self,
        second: usize,
        served_for: &[[f32; REGIONS]; REGIONS],
        linked: impl Fn(usize, usize) -> bool,
    ) {
        let now = self.at(second);
        let before = self.words.clone();
        for (region, served) in served_for.iter().enumerate() {
            let sample = Load {
                capacity: self.capacity[region] as u32,
                served: served.iter().sum(),
                served_for: (0..REGIONS)
                    .map(|of| (self.name(of).to_owned(), served[of]))
                    .collect(),
                requests_per_second: 0.0,
            };
            self.words[region] = self.words[region].after(&sample, SECOND);
        }
        for observer in (0..REGIONS).filter(|region| self.alive[*region]) {
            for (other, word) in before.iter().enumerate() {
                let reached = self.alive[other] && linked(observer, other);
                let seen = match reached {
                    true => Observation::Answered(SECOND),
                    false => Observation::Failed,
                };
                let eyes = &mut self.eyes[observer];
                if other == observer {
                    eyes.heard[other] = (self.words[other].clone(), second);
                    continue;
                }
                eyes.health[other] = eyes.health[other].observe(seen, now, &HEALTH);
                if reached {
                    eyes.heard[other] = (word.clone(), second);
                }
            }
            let loads: Vec<RegionLoad> = (0..REGIONS)
                .map(|of| self.load_as_seen_by(observer, of, second))
                .collect();
            let eyes = &mut self.eyes[observer];
            eyes.balance = eyes.balance.step(&loads, SECOND, &SPILL);
        }
    }

    fn load_as_seen_by(&self, observer: usize, of: usize, second: usize) -> RegionLoad {
        let eyes = &self.eyes[observer];
        let words: Vec<Option<&Load>> = eyes
            .heard
            .iter()
            .map(|(load, at)| Some(load).filter(|_| second - at <= FRESH))
            .collect();
        let status = eyes.health[of].status;
        let is_open = of == observer || matches!(status, Status::Up | Status::Unknown);
        RegionLoad::of(of, self.name(of), &words, is_open)
    }

    /// Fills `standing` with the regions as `observer` sees them. `is_full`: it serves all that it can.
    pub(crate) fn standing(&self, observer: usize, second: usize, is_full: bool) -> Vec<Standing> {
        let now = self.at(second);
        let eyes = &self.eyes[observer];
        let standing = (0..REGIONS).map(|of| {
            let mut spill = eyes.balance.of(of);
            if of != observer {
                return Standing {
                    status: eyes.health[of].status,
                    share: eyes.health[of].share(now, &HEALTH),
                    spill,
                    ..Standing::UP
                };
            }
            if is_full {
                spill.share = 0.0;
            }
            Standing {
                share: self.hearsay(observer, now),
                spill,
                ..Standing::UP
            }
        });
        standing.collect()
    }

    /// The lowest share that the others give to a region, which it follows itself.
    fn hearsay(&self, of: usize, now: Instant) -> f32 {
        let others = (0..REGIONS).filter(|other| *other != of && self.alive[*other]);
        others
            .map(|other| self.eyes[other].health[of])
            .filter(|health| health.status == Status::Up)
            .map(|health| health.share(now, &HEALTH))
            .fold(1.0, f32::min)
    }

    /// The part of its users that a region keeps, in its own eyes.
    pub(crate) fn share(&self, region: usize) -> f32 {
        self.eyes[region].balance.of(region).share
    }

    /// Where a request of a prefix is served and whose it is, as region `observer` decides. As in the
    /// request path, the next region is tried where one cannot be reached or is full; if none takes it,
    /// it is refused here.
    pub(crate) fn steer(
        &self,
        prefix: &Prefix,
        standing: &[Standing],
        observer: RegionIndex,
        takes: impl Fn(usize) -> bool,
    ) -> (usize, usize) {
        let decision = rank(&prefix.ranking, standing, prefix.spread, observer);
        let mut regions = decision.usable().map(|place| place.region.get());
        let to = regions
            .find(|region| takes(*region))
            .unwrap_or(observer.get());
        (to, decision.home.map_or(to, RegionIndex::get))
    }

    /// What DNS answers for a prefix.
    pub(crate) fn answer(
        &self,
        prefix: &Prefix,
        standing: &[Standing],
        observer: RegionIndex,
    ) -> [u8; ADDRESSES] {
        let decision = rank(&prefix.ranking, standing, prefix.spread, observer);
        let mut answer = [u8::MAX; ADDRESSES];
        for (slot, place) in answer.iter_mut().zip(decision.usable()) {
            *slot = u8::try_from(place.region.get()).unwrap_or(u8::MAX);
        }
        answer
    }
}
