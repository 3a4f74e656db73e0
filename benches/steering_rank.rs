//! What does it cost to decide where a client goes? Asked once per steered request: the geo lookup, what was
//! learnt of the client's network (50,000 are known, half of the clients among them), and the ranking.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use benches::Sequence;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::region::{Region, RegionSet};
use gateway::steering::{
    Exploration, LearningPolicy, Prefix, RttTable, Stage, Standing, decide, explore, spread,
};
use geo_db::{CostTable, GeoDb, catalogue};

const LEARNT: usize = 50_000;

fn steering_rank(c: &mut Criterion) {
    let geo = GeoDb::embedded();
    let mut random = Sequence::new();
    let clients: Vec<IpAddr> = (0..1 << 12)
        .map(|_| Ipv4Addr::from(random.next()).into())
        .collect();
    let mut group = c.benchmark_group("steering_rank");
    for count in [3, 6, 14] {
        let regions = catalogue()
            .iter()
            .take(count)
            .map(|known| Region::new(known.slug, known.point, None, None, None));
        let Some(regions) = RegionSet::new(regions.collect(), catalogue()[0].slug.as_str()) else {
            continue;
        };
        let Ok(costs) = CostTable::new(&regions.points()) else {
            continue;
        };
        let own = regions.own_index();
        let policy = LearningPolicy {
            prefixes: LEARNT,
            min_samples: 1,
            fresh_for: Duration::from_secs(60),
        };
        let mut table = RttTable::new(policy, own);
        for client in clients.iter().step_by(2) {
            table.observe(Prefix::of(*client), Duration::from_millis(150), 0);
        }
        while table.len() < LEARNT {
            let other = Ipv4Addr::from(random.next()).into();
            table.observe(Prefix::of(other), Duration::from_millis(20), 1);
        }
        let learnt = table.snapshot(1);
        let standing = vec![Standing::UP; count];
        let exploration = Exploration {
            share: 0.01,
            margin_ms: 20.0,
        };
        let mut at = clients.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let client = *black_box(at.next().unwrap_or(&clients[0]));
                let location = geo.lookup(client);
                let measured = learnt.get(Prefix::of(client));
                let (mut decision, sources) = decide(
                    costs.nearest(&location),
                    measured,
                    &standing,
                    spread(client),
                    own,
                );
                let stage = Stage::Answer;
                explore(&mut decision, &sources, exploration, client, 7, stage);
                decision
            });
        });
        group.bench_function(BenchmarkId::new("learnt_lookup", count), |b| {
            b.iter(|| learnt.get(Prefix::of(*black_box(at.next().unwrap_or(&clients[0])))));
        });
    }
    group.finish();
}

criterion_group!(benches, steering_rank);
criterion_main!(benches);
