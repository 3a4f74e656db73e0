use std::net::IpAddr;

use super::*;
use crate::location::Source;
use crate::{GeoDb, region};

fn fleet(slugs: &[&str]) -> Vec<RegionPoint> {
    slugs
        .iter()
        .filter_map(|slug| region(slug))
        .map(RegionPoint::from)
        .collect()
}

fn at(lat: f32, lon: f32) -> Location {
    Location {
        point: Some(Point { lat, lon }),
        ..Location::nowhere(Source::Database)
    }
}

#[test]
fn a_ranking_has_every_region_once_and_grows_in_time() {
    let regions = fleet(&["nyc3", "ams3", "sgp1", "blr1", "sfo3"]);
    let ranking = nearest(&at(52.5, 13.4), &regions).expect("a short list");
    assert_eq!(regions[ranking[0].index].name.as_str(), "ams3");
    assert!(
        ranking.windows(2).all(|pair| pair[0].rtt <= pair[1].rtt),
        "{ranking:?}"
    );
    let mut seen: Vec<usize> = ranking.iter().map(|ranked| ranked.index).collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    let direct = expected_rtt(&at(52.5, 13.4), regions[1].point).expect("a point");
    assert_eq!(ranking[0].rtt, Some(direct));
}

#[test]
fn without_a_point_the_order_given_stands() {
    let nowhere = Location::nowhere(Source::Private);
    let ranking = nearest(&nowhere, &fleet(&["sgp1", "nyc3", "ams3"])).expect("a short list");
    assert_eq!(
        ranking
            .iter()
            .map(|ranked| ranked.index)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(
        ranking
            .iter()
            .all(|ranked| ranked.rtt.is_none() && ranked.km.is_none())
    );
    assert_eq!(expected_rtt(&nowhere, Point { lat: 0.0, lon: 0.0 }), None);
}

#[test]
fn a_pin_beats_distance_and_a_pin_elsewhere_changes_nothing() {
    let regions = fleet(&["nyc3", "ams3", "sgp1"]);
    let costs = CostTable::new(&regions).expect("a short list");
    let pinned = |name: &str| Location {
        pinned: name.parse().ok(),
        ..at(52.5, 13.4)
    };
    let order = |location: &Location| -> Vec<usize> {
        costs
            .nearest(location)
            .iter()
            .map(|ranked| ranked.index)
            .collect()
    };
    assert_eq!(order(&at(52.5, 13.4)), [1, 0, 2]);
    assert_eq!(order(&pinned("sgp1")), [2, 1, 0]);
    assert!(costs.nearest(&pinned("sgp1"))[0].pinned);
    assert_eq!(order(&pinned("syd1")), [1, 0, 2]);
}

#[test]
fn a_fleet_may_be_empty_but_not_endless() {
    assert!(
        nearest(&at(0.0, 0.0), &[])
            .expect("a short list")
            .is_empty()
    );
    let many = vec![fleet(&["nyc3"])[0]; MAX_REGIONS + 1];
    assert_eq!(
        CostTable::new(&many).err(),
        Some(TooManyRegions(MAX_REGIONS + 1))
    );
}

#[test]
fn the_default_data_sends_users_to_their_continent() {
    let regions = fleet(&["nyc3", "ams3", "sgp1"]);
    let costs = CostTable::new(&regions).expect("a short list");
    let db = GeoDb::embedded();
    let cases = [
        ("81.2.69.142", "ams3"),
        ("8.8.8.8", "nyc3"),
        ("103.10.64.1", "sgp1"),
        ("200.160.2.3", "nyc3"),
        ("41.90.0.1", "ams3"),
        ("133.11.0.1", "sgp1"),
    ];
    for (address, want) in cases {
        let address: IpAddr = address.parse().expect("a literal");
        let first = costs.nearest(&db.lookup(address))[0];
        assert_eq!(
            regions[first.index].name.as_str(),
            want,
            "{address} {:?}",
            db.lookup(address)
        );
    }
}
