//! The RTT model against measurements: how much longer users wait than at the truly nearest region.
//!
//! `tests/data/rtt.json` holds round-trip times between 11 metros and 31 cities, published by
//! WonderProxy for 19 and 20 July 2020. It is test data only; nothing in the product is taken
//! from a cell of it. `cargo test -p geo-db --test rtt_model -- --nocapture` prints the errors.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use geo_db::{CostTable, Location, Point, RegionPoint, Source};
use serde::Deserialize;

#[derive(Deserialize)]
struct Measured {
    sites: Vec<String>,
    kind: Vec<String>,
    lat: Vec<f32>,
    lon: Vec<f32>,
    rtt_ms: Vec<Vec<f32>>,
}

impl Measured {
    fn load() -> Self {
        serde_json::from_str(include_str!("data/rtt.json")).unwrap()
    }

    fn cities(&self) -> impl Iterator<Item = usize> {
        (0..self.sites.len()).filter(|&site| self.kind[site] == "city")
    }

    fn site(&self, name: &str) -> usize {
        self.sites.iter().position(|site| site == name).unwrap()
    }

    fn point(&self, site: usize) -> Point {
        Point {
            lat: self.lat[site],
            lon: self.lon[site],
        }
    }
}

/// Milliseconds lost against the nearest region, on average and at worst.
#[derive(Debug)]
#[allow(dead_code, reason = "read through Debug")]
struct Loss {
    mean: f32,
    worst: f32,
    worst_city: String,
    nearest_hit: f32,
}

fn at(point: Point) -> Location {
    Location {
        point: Some(point),
        ..Location::nowhere(Source::Database)
    }
}

fn loss(measured: &Measured, fleet: &[&str]) -> Loss {
    let sites: Vec<usize> = fleet.iter().map(|name| measured.site(name)).collect();
    let regions: Vec<RegionPoint> = (sites.iter().zip(fleet))
        .map(|(&site, name)| RegionPoint {
            name: name.parse().unwrap(),
            point: measured.point(site),
        })
        .collect();
    let costs = CostTable::new(&regions).unwrap();
    let mut extra: Vec<(f32, String)> = Vec::new();
    for city in measured.cities() {
        let chosen = sites[costs.nearest(&at(measured.point(city)))[0].index];
        let of = |region: usize| measured.rtt_ms[city][region];
        let best = sites
            .iter()
            .copied()
            .min_by(|&a, &b| of(a).total_cmp(&of(b)))
            .unwrap();
        let name = format!(
            "{}: {} instead of {}",
            measured.sites[city], measured.sites[chosen], measured.sites[best]
        );
        extra.push((of(chosen) - of(best), name));
    }
    let (worst, worst_city) = extra
        .iter()
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
        .clone();
    let count = extra.len() as f32;
    if std::env::var_os("EVERY_CITY").is_some() {
        extra
            .iter()
            .filter(|(ms, _)| *ms > 2.0)
            .for_each(|(ms, name)| println!("    +{ms:5.1} {name}"));
    }
    Loss {
        mean: extra.iter().map(|(ms, _)| ms).sum::<f32>() / count,
        worst,
        worst_city,
        nearest_hit: extra.iter().filter(|(ms, _)| *ms < 0.05).count() as f32 / count,
    }
}

const THREE_AMS: [&str; 3] = ["nyc", "ams", "sgp"];
const THREE_FRA: [&str; 3] = ["nyc", "fra", "sgp"];
const SIX: [&str; 6] = ["nyc", "sfo", "lon", "fra", "sgp", "syd"];
const TEN: [&str; 10] = [
    "nyc", "sfo", "tor", "lon", "ams", "fra", "blr", "sgp", "syd", "atl",
];

#[test]
fn the_chosen_region_is_about_as_near_as_the_nearest() {
    let measured = Measured::load();
    for (fleet, worst) in [
        (&THREE_AMS[..], 100.0),
        (&THREE_FRA, 100.0),
        (&SIX, 40.0),
        (&TEN, 40.0),
    ] {
        let loss = loss(&measured, fleet);
        println!("{:2} regions {fleet:?}: {loss:?}", fleet.len());
        assert!(loss.mean <= 4.0, "{fleet:?}: {loss:?}");
        assert!(loss.worst <= worst, "{fleet:?}: {loss:?}");
    }
}

/// Fleets nobody tuned for: the ten metros without each pair of them.
#[test]
fn the_model_holds_for_fleets_with_regions_missing() {
    let measured = Measured::load();
    let mut means = Vec::new();
    for (at, a) in TEN.iter().enumerate() {
        for b in &TEN[at + 1..] {
            let rest: Vec<&str> = TEN
                .iter()
                .filter(|&name| name != a && name != b)
                .copied()
                .collect();
            let loss = loss(&measured, &rest);
            if loss.mean > 3.0 {
                println!("without {a} and {b}: {loss:?}");
            }
            assert!(loss.mean <= 7.0, "without {a} and {b}: {loss:?}");
            means.push(loss.mean);
        }
    }
    let count = means.len() as f32;
    let worst = means.iter().copied().fold(0.0, f32::max);
    println!(
        "45 fleets of eight: mean {:.2} ms, worst mean {worst:.2} ms",
        means.iter().sum::<f32>() / count
    );
}

#[test]
fn well_known_paths_go_the_way_of_the_cables() {
    let measured = Measured::load();
    let regions: Vec<RegionPoint> = (TEN.iter())
        .map(|name| RegionPoint {
            name: name.parse().unwrap(),
            point: measured.point(measured.site(name)),
        })
        .collect();
    let costs = CostTable::new(&regions).unwrap();
    const EUROPE: &[&str] = &["lon", "ams", "fra"];
    let cases: [(&str, f32, f32, &[&str]); 27] = [
        ("Cairo", 30.04, 31.24, EUROPE),
        ("Lagos", 6.52, 3.38, EUROPE),
        ("Nairobi", -1.29, 36.82, EUROPE),
        ("Johannesburg", -26.20, 28.05, EUROPE),
        ("Riyadh", 24.71, 46.68, EUROPE),
        ("Dubai", 25.20, 55.27, EUROPE),
        ("Almaty", 43.24, 76.89, EUROPE),
        ("Novosibirsk", 55.03, 82.92, EUROPE),
        ("Tehran", 35.69, 51.39, EUROPE),
        ("Tashkent", 41.30, 69.24, EUROPE),
        ("Dakar", 14.72, -17.47, EUROPE),
        ("Addis Ababa", 9.03, 38.74, EUROPE),
        ("Reykjavik", 64.15, -21.94, &["lon"]),
        ("Vladivostok", 43.12, 131.89, &["sgp", "sfo"]),
        ("Perth", -31.95, 115.86, &["sgp", "syd"]),
        ("Honolulu", 21.31, -157.86, &["sfo"]),
        ("Lima", -12.05, -77.04, &["atl", "nyc"]),
        ("Bogota", 4.71, -74.07, &["atl", "nyc"]),
        ("Karachi", 24.86, 67.01, &["blr"]),
        ("Colombo", 6.93, 79.86, &["blr"]),
        ("Dhaka", 23.81, 90.41, &["blr", "sgp"]),
        ("Hangzhou", 30.27, 120.15, &["sfo"]),
        ("Shenzhen", 22.54, 114.06, &["sfo"]),
        ("Bangkok", 13.76, 100.50, &["sgp"]),
        ("Manila", 14.60, 120.98, &["sgp"]),
        ("Auckland", -36.85, 174.76, &["syd"]),
        ("Vancouver", 49.28, -123.12, &["sfo"]),
    ];
    for (name, lat, lon, want) in cases {
        let ranking = costs.nearest(&at(Point { lat, lon }));
        let chosen = TEN[ranking[0].index];
        assert!(
            want.contains(&chosen),
            "{name}: {chosen}, not {want:?}: {ranking:?}"
        );
    }
}
