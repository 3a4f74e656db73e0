//! What does it cost to find the route of a request, by the number of routes? The last one is asked for.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::route::{HostPattern, Matcher, PathPattern};
use http::{HeaderMap, Method};

fn route_match(c: &mut Criterion) {
    let mut group = c.benchmark_group("route_match");
    let headers = HeaderMap::new();
    for count in [4, 16, 64] {
        let matcher = |n: usize| Matcher {
            host: HostPattern::parse(&format!("team-{n}.edge.example.com")).unwrap_or_default(),
            path: PathPattern::template("/jobs/{id}/logs").unwrap_or_default(),
            ..Matcher::default()
        };
        let matchers: Vec<_> = (0..count).map(matcher).collect();
        let host = format!("team-{}.edge.example.com", count - 1);
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let path = black_box("/jobs/0123456789/logs");
                matchers
                    .iter()
                    .position(|matcher| matcher.matches(&host, path, &Method::GET, &headers))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, route_match);
criterion_main!(benches);
