//! What does it cost to find out where an address is? Asked once per request.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use benches::Sequence;
use criterion::{Criterion, criterion_group, criterion_main};
use geo_db::GeoDb;

fn geo_lookup(c: &mut Criterion) {
    let geo = GeoDb::embedded();
    let mut random = Sequence::new();
    let v4: Vec<IpAddr> = (0..1 << 16)
        .map(|_| Ipv4Addr::from(random.next()).into())
        .collect();
    let hot = &v4[..1 << 12];
    let v6: Vec<IpAddr> = (0..1 << 16)
        .map(|_| {
            let announced = 0x2000_0000 | (random.next() >> 4);
            Ipv6Addr::from(u128::from(announced) << 96 | u128::from(random.next())).into()
        })
        .collect();
    let mut group = c.benchmark_group("geo_lookup");
    for (name, addresses) in [
        ("v4 random", &v4[..]),
        ("v4 hot set of 4096", hot),
        ("v6 random", &v6[..]),
    ] {
        let mut at = addresses.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| geo.lookup(black_box(*at.next().unwrap_or(&v4[0]))));
        });
    }
    group.finish();
}

criterion_group!(benches, geo_lookup);
criterion_main!(benches);
