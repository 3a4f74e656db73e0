//! Does learning lead users to the truly best region? Measured round trips of cities stand for the world;
//! `cargo test -p gateway wan_tests -- --nocapture` prints what is gained.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use geo_db::{CostTable, Location, Point, RegionPoint, Source};
use serde::Deserialize;

use super::{
    Exploration, LearningPolicy, Prefix, RttTable, Snapshot, Stage, Standing, decide, explore,
    spread,
};
use crate::region::RegionIndex;

const POLICY: LearningPolicy = LearningPolicy {
    prefixes: 10_000,
    min_samples: 3,
    fresh_for: Duration::from_secs(24 * 3600),
};
const UP: Standing = Standing::UP;

/// Test data of `geo-db`: nothing in the product is taken from it.
#[derive(Deserialize)]
struct Wan {
    sites: Vec<String>,
    kind: Vec<String>,
    lat: Vec<f32>,
    lon: Vec<f32>,
    rtt_ms: Vec<Vec<f32>>,
}

struct World {
    wan: Wan,
    fleet: Vec<usize>,
    cities: Vec<usize>,
    costs: CostTable,
    tables: Vec<RttTable>,
    /// What a gateway makes of all of them.
    merged: RttTable,
    noise: u64,
}

impl World {
    fn new(fleet: &[&str]) -> Self {
        let text = include_str!("../../../geo-db/tests/data/rtt.json");
        let wan: Wan = serde_json::from_str(text).unwrap();
        let site = |name: &&str| wan.sites.iter().position(|site| site == name).unwrap();
        let fleet: Vec<usize> = fleet.iter().map(site).collect();
        let points: Vec<RegionPoint> = fleet
            .iter()
            .map(|&site| RegionPoint {
                name: wan.sites[site].parse().unwrap(),
                point: point(&wan, site),
            })
            .collect();
        let index = |at| RegionIndex(u8::try_from(at).unwrap());
        Self {
            cities: (0..wan.sites.len())
                .filter(|&site| wan.kind[site] == "city")
                .collect(),
            costs: CostTable::new(&points).unwrap(),
            tables: (0..fleet.len())
                .map(|at| RttTable::new(POLICY, index(at)))
                .collect(),
            merged: RttTable::new(POLICY, RegionIndex(15)),
            noise: 1,
            wan,
            fleet,
        }
    }

    /// A client of a city, in one of its networks.
    fn client(city: usize, network: usize) -> IpAddr {
        Ipv4Addr::new(
            20,
            u8::try_from(city).unwrap(),
            u8::try_from(network).unwrap(),
            7,
        )
        .into()
    }

    /// A connection's time: what was measured, and what queues and last miles add.
    fn connect(&mut self, client: IpAddr, city: usize, region: usize, now: u64) {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let jitter = (self.noise >> 40) as f32 / (1 << 24) as f32;
        // One in ten meets a queue.
        let queue = if jitter > 0.9 { 40.0 } else { 0.0 };
        let rtt = self.wan.rtt_ms[city][self.fleet[region]] * (1.0 + 0.05 * jitter) + queue;
        let rtt = Duration::from_secs_f32(rtt / 1000.0);
        self.tables[region].observe(Prefix::of(client), rtt, now);
    }

    /// All regions tell what they know until everything is told.
    fn exchange(&mut self, rounds: usize, now: u64) -> Snapshot {
        for _ in 0..rounds {
            for (region, table) in (0..).map(RegionIndex).zip(&mut self.tables) {
                self.merged.hear(region, &table.tell(now), now);
            }
        }
        self.merged.snapshot(now)
    }

    fn choose(
        &self,
        client: IpAddr,
        city: usize,
        learnt: &Snapshot,
        exploration: Exploration,
        now: u64,
    ) -> usize {
        let location = Location {
            point: Some(point(&self.wan, city)),
            ..Location::nowhere(Source::Database)
        };
        let standing = vec![UP; self.fleet.len()];
        let (mut decision, sources) = decide(
            self.costs.nearest(&location),
            learnt.get(Prefix::of(client)),
            &standing,
            spread(client),
            RegionIndex(0),
        );
        explore(
            &mut decision,
            &sources,
            exploration,
            client,
            now,
            Stage::Answer,
        );
        decision.best().unwrap().get()
    }

    /// Mean milliseconds over the truly best region.
    fn extra(&self, learnt: &Snapshot, networks: usize) -> f32 {
        let mut sum = 0.0;
        for &city in &self.cities {
            let true_ms = |region: &usize| self.wan.rtt_ms[city][*region];
            let best = self
                .fleet
                .iter()
                .map(true_ms)
                .min_by(f32::total_cmp)
                .unwrap();
            for network in 0..networks {
                let client = Self::client(city, network);
                let chosen = self.choose(client, city, learnt, Exploration::default(), 0);
                sum += true_ms(&self.fleet[chosen]) - best;
            }
        }
        sum / (self.cities.len() * networks) as f32
    }
}

fn point(wan: &Wan, site: usize) -> Point {
    Point {
        lat: wan.lat[site],
        lon: wan.lon[site],
    }
}

const FLEETS: [&[&str]; 3] = [
    &["nyc", "ams", "sgp"],
    &["nyc", "sfo", "lon", "fra", "sgp", "syd"],
    &[
        "nyc", "sfo", "tor", "lon", "ams", "fra", "blr", "sgp", "syd", "atl", "ric",
    ],
];

#[test]
fn after_a_thousand_connections_a_region_users_are_less_than_a_millisecond_from_the_best() {
    const NETWORKS: usize = 4;
    for fleet in FLEETS {
        let mut world = World::new(fleet);
        let before = world.extra(&Snapshot::default(), NETWORKS);
        for region in 0..fleet.len() {
            for connection in 0..1000 {
                let city = world.cities[connection % world.cities.len()];
                let network = connection / world.cities.len() % NETWORKS;
                world.connect(World::client(city, network), city, region, 1000);
            }
        }
        let learnt = world.exchange(5, 1000);
        let after = world.extra(&learnt, NETWORKS);
        println!(
            "{} regions: {before:.2} ms over the best by the model, {after:.2} ms learnt",
            fleet.len()
        );
        assert!(after < 1.0, "{fleet:?}: {after} ms");
        assert!(after <= before, "{fleet:?}: {after} ms after {before} ms");
    }
}

#[test]
fn users_who_are_only_ever_sent_to_the_best_region_are_found_out_by_exploring() {
    for fleet in FLEETS {
        let day = |share| {
            let exploration = Exploration {
                share,
                margin_ms: 20.0,
            };
            let mut world = World::new(fleet);
            let (mut paid, mut connections) = (0.0, 0);
            for slot in 0..24 * 12 {
                let now = 999_900 + slot * 300;
                let learnt = world.exchange(1, now);
                for city in world.cities.clone() {
                    let client = World::client(city, 0);
                    let region = world.choose(client, city, &learnt, exploration, now);
                    (0..5).for_each(|_| world.connect(client, city, region, now));
                    let plain = world.choose(client, city, &learnt, Exploration::default(), now);
                    let true_ms = |region: usize| world.wan.rtt_ms[city][world.fleet[region]];
                    paid += true_ms(region) - true_ms(plain);
                    connections += 1;
                }
            }
            let learnt = world.exchange(1, 1_000_000 + 24 * 3600);
            (world.extra(&learnt, 1), paid / connections as f32)
        };
        let ((without, _), (with, cost)) = (day(0.0), day(0.01));
        println!(
            "{} regions, a day: {without:.2} ms over the best without exploring, {with:.2} ms with 1 %, which costs {cost:.2} ms a connection",
            fleet.len()
        );
        assert!(
            with <= without + 0.05,
            "{fleet:?}: {with} against {without}"
        );
        assert!(
            cost < 1.0,
            "{fleet:?}: exploring costs {cost} ms a connection"
        );
    }
}
