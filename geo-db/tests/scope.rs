//! The prefix that a lookup names is true: every address in it gets the same place, and a client's network as DNS
//! knows it leads where its address does. `cargo test -p geo-db --test scope -- --nocapture` prints the shares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use geo_db::{CostTable, GeoDb, RegionPoint, Sources, catalogue};

const SAMPLES: usize = 100_000;

/// A generator of addresses that is the same at each run (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn v4(&mut self) -> IpAddr {
        Ipv4Addr::from_bits(self.next() as u32).into()
    }

    /// In the blocks from which registries give networks.
    fn v6(&mut self) -> IpAddr {
        const BLOCKS: [u64; 5] = [0x240, 0x260, 0x280, 0x2a0, 0x2c0];
        let block = BLOCKS[(self.next() % 5) as usize] << 52;
        let high = block | self.next() >> 12;
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(self.next())).into()
    }
}

fn cut(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// An address that shares the first `bits` with `ip`, and whose others are those of `other`.
fn within(ip: IpAddr, bits: u8, other: IpAddr) -> IpAddr {
    match (cut(ip, bits), other) {
        (IpAddr::V4(base), IpAddr::V4(other)) => {
            let behind = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            Ipv4Addr::from_bits(base.to_bits() | other.to_bits() & behind).into()
        }
        (IpAddr::V6(base), IpAddr::V6(other)) => {
            let behind = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            Ipv6Addr::from_bits(base.to_bits() | other.to_bits() & behind).into()
        }
        (base, _) => base,
    }
}

/// For each family: the share of allocated addresses whose network, as a resolver passes it on, leads to the region that
/// their full record does, and the median length of the scope.
#[test]
fn networks_lead_where_their_addresses_do_and_scopes_are_true() {
    // A city-level file of your own: GEO_DATABASE=GeoLite2-City.mmdb.
    let databases = std::env::var_os("GEO_DATABASE").map(Into::into);
    let sources = Sources {
        databases: databases.into_iter().collect(),
        ..Sources::default()
    };
    let db = GeoDb::open(&sources).expect("the data can be read");
    let fleet: Vec<RegionPoint> = catalogue().iter().map(RegionPoint::from).collect();
    let costs = CostTable::new(&fleet).expect("the catalogue can be ranked");
    let best = |ip: IpAddr| {
        costs
            .nearest(&db.lookup(ip))
            .first()
            .map(|ranked| ranked.index)
    };

    let mut draw = Draw(4);
    for (family, passed_on, draw_one) in [
        ("IPv4 /24", 24, Draw::v4 as fn(&mut Draw) -> IpAddr),
        ("IPv6 /56", 56, Draw::v6),
    ] {
        let (mut allocated, mut agree, mut scopes) = (0_u32, 0_u32, Vec::new());
        for _ in 0..SAMPLES {
            let ip = draw_one(&mut draw);
            let (location, narrow) = db.lookup_with_prefix(ip);
            assert_eq!(location.point, db.lookup(ip).point, "{ip}");
            // Anybody in the named prefix is in the same place.
            let other = within(ip, narrow, draw_one(&mut draw));
            let there = db.lookup(other);
            assert_eq!(
                (there.point, there.pinned),
                (location.point, location.pinned),
                "{ip}/{narrow}, {other}"
            );
            if location.point.is_none() {
                continue;
            }
            allocated += 1;
            agree += u32::from(best(cut(ip, passed_on)) == best(ip));
            scopes.push(narrow.min(passed_on));
        }
        scopes.sort_unstable();
        let share = f64::from(agree) / f64::from(allocated.max(1));
        let median = scopes.get(scopes.len() / 2).copied().unwrap_or(0);
        println!(
            "{family}: {allocated} allocated addresses, {:.3} % agree, median scope /{median}",
            share * 100.0
        );
        assert!(
            allocated > 1000,
            "{family}: {allocated} of {SAMPLES} are allocated"
        );
        assert!(share >= 0.99, "{family}: {share}");
    }
}

/// With a city-level file in `GEO_DATABASE`: how often the built-in country data leads to the same region of all as that
/// file does, and by how many milliseconds the model says that it is worse. Without one there is nothing to compare.
#[test]
fn the_embedded_data_leads_mostly_where_city_data_does() {
    let Some(file) = std::env::var_os("GEO_DATABASE") else {
        return;
    };
    let sources = Sources {
        databases: vec![file.into()],
        ..Sources::default()
    };
    let (city, country) = (
        GeoDb::open(&sources).expect("the data can be read"),
        GeoDb::embedded(),
    );
    for names in [&["nyc3", "ams3", "sgp1"][..], &[]] {
        let all = catalogue().iter().map(RegionPoint::from);
        let fleet: Vec<RegionPoint> = all
            .filter(|region| names.is_empty() || names.contains(&region.name.as_str()))
            .collect();
        let costs = CostTable::new(&fleet).expect("the catalogue can be ranked");
        let mut draw = Draw(4);
        let (mut compared, mut agree, mut extra) = (0_u32, 0_u32, 0.0);
        for _ in 0..SAMPLES {
            let ip = draw.v4();
            let truth = costs.nearest(&city.lookup(ip));
            let guess = costs.nearest(&country.lookup(ip));
            let (Some(best), Some(chosen)) = (truth.first(), guess.first()) else {
                continue;
            };
            let there = truth.iter().find(|ranked| ranked.index == chosen.index);
            let (Some(least), Some(taken)) = (best.rtt, there.and_then(|ranked| ranked.rtt)) else {
                continue;
            };
            compared += 1;
            agree += u32::from(best.index == chosen.index);
            extra += (taken.as_secs_f64() - least.as_secs_f64()) * 1000.0;
        }
        println!(
            "{} regions: {:.1} % of {compared} addresses agree, {:.2} ms more on average",
            fleet.len(),
            100.0 * f64::from(agree) / f64::from(compared.max(1)),
            extra / f64::from(compared.max(1))
        );
    }
}
