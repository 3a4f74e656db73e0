//! What does it cost to rank the regions for a client? Asked once per steered request.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use benches::Sequence;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::region::{Region, RegionIndex, RegionSet, Status};
use gateway::steering::{Standing, rank, spread};
use geo_db::{CostTable, GeoDb, catalogue};

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
        let own: RegionIndex = regions.own_index();
        let standing = vec![
            Standing {
                has_upstream: true,
                status: Status::Up,
                share: 1.0
            };
            count
        ];
        let locations: Vec<_> = clients
            .iter()
            .map(|client| (*client, geo.lookup(*client)))
            .collect();
        let mut at = locations.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let (client, location) = at.next().unwrap_or(&locations[0]);
                rank(
                    &costs.nearest(black_box(location)),
                    &standing,
                    spread(*client),
                    own,
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, steering_rank);
criterion_main!(benches);
