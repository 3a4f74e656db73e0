//! Files of every known shape, what a lookup then says, and what a bad file changes: nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use geo_db::build::mmdb_from;
use geo_db::{GeoDb, Location, OpenError, Role, Source, Sources};
use ipnet::IpNet;
use mmdb_writer::{Value, Writer};
use proptest::prelude::*;
use tempfile::TempDir;

/// A directory of data files, gone when the test ends.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes beside the target and renames, as an operator's tool should.
    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let (partial, path) = (self.0.path().join("partial"), self.0.path().join(name));
        fs::write(&partial, bytes).unwrap();
        fs::rename(partial, &path).unwrap();
        path
    }
}

fn mmdb(built: u64, networks: &[(&str, Value)]) -> Vec<u8> {
    let built = SystemTime::UNIX_EPOCH + Duration::from_secs(built);
    let mut writer = Writer::builder("Test-City")
        .build_epoch(built)
        .description(&[("en", "test")])
        .build();
    for (network, value) in networks {
        writer
            .insert_value(network.parse::<IpNet>().unwrap(), value.clone())
            .unwrap();
    }
    writer.to_bytes().unwrap()
}

fn country(code: &str) -> Value {
    Value::map([("country_code", Value::from(code))])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn databases(paths: impl Into<Vec<PathBuf>>) -> Sources {
    Sources {
        databases: paths.into(),
        ..Sources::default()
    }
}

fn code(location: &Location) -> String {
    location
        .country
        .map_or_else(|| "-".to_owned(), |country| country.to_string())
}

#[test]
fn every_shape_of_database_is_understood() {
    let files = Files::new();
    let place = |lat: f64, lon: f64| {
        Value::map([
            ("latitude", Value::from(lat)),
            ("longitude", Value::from(lon)),
            ("accuracy_radius", Value::from(20u16)),
        ])
    };
    let nested = Value::map([
        (
            "country",
            Value::map([
                ("geoname_id", Value::from(1u32)),
                ("iso_code", Value::from("DE")),
            ]),
        ),
        ("location", place(52.52, 13.4)),
    ]);
    let registered = Value::map([(
        "registered_country",
        Value::map([("iso_code", Value::from("SE"))]),
    )]);
    let flat = Value::map([
        ("country_code", Value::from("SG")),
        ("latitude", Value::from(1.35f32)),
        ("longitude", Value::from(103.82f32)),
    ]);
    let text = Value::map([
        ("country", Value::from("JP")),
        ("asn", Value::from("AS2497")),
    ]);
    let path = files.put(
        "shapes.mmdb",
        mmdb(
            1,
            &[
                ("11.0.1.0/24", nested),
                ("11.0.2.0/24", flat),
                ("11.0.3.0/24", country("FR")),
                ("11.0.4.0/24", registered),
                ("2a00:5::/32", text),
            ],
        ),
    );
    let db = GeoDb::open(&databases([path])).unwrap();

    let berlin = db.lookup(ip("11.0.1.9"));
    assert_eq!(
        (code(&berlin).as_str(), berlin.accuracy_km, berlin.source),
        ("DE", 20.0, Source::Database)
    );
    assert!((berlin.point.unwrap().lat - 52.52).abs() < 0.001);
    assert_eq!(berlin.confidence, 1.0);
    assert!((db.lookup(ip("11.0.2.9")).point.unwrap().lon - 103.82).abs() < 0.001);
    let france = db.lookup(ip("11.0.3.9"));
    assert!(
        france.point.is_some() && france.accuracy_km > 100.0 && france.confidence < 1.0,
        "{france:?}"
    );
    assert_eq!(code(&db.lookup(ip("11.0.4.9"))), "SE");
    let tokyo = db.lookup(ip("2a00:5::1"));
    assert_eq!((code(&tokyo).as_str(), tokyo.asn), ("JP", Some(2497)));
}

#[test]
fn csv_with_and_without_heading_is_understood() {
    let files = Files::new();
    let cases = [
        ("network,country,lat,lon\n11.0.0.0/8,DE,52.5,13.4\n", "DE"),
        (
            "country_code,start_ip,end_ip\nFR,11.0.0.0,11.255.255.255\n",
            "FR",
        ),
        ("11.0.0.0,11.255.255.255,GB\n", "GB"),
        ("# a comment\n11.0.0.0/8,IT\n", "IT"),
        ("184549376,201326591,NL\n", "NL"),
        (
            "\"11.0.0.0\",\"11.255.255.255\",\"ES\",\"\",\"\",\"Madrid\",\"\",\"40.4\",\"-3.7\",\"\"\n",
            "ES",
        ),
        ("11.0.0.0/8,SE,59.3,18.1\n11.1.0.0/16,NO,59.9,10.7\n", "NO"),
    ];
    for (text, want) in cases {
        let path = files.put("ranges.csv", text);
        let db =
            GeoDb::open(&databases([path])).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let found = db.lookup(ip("11.1.2.3"));
        assert_eq!(
            (code(&found).as_str(), found.source),
            (want, Source::Database),
            "{text}"
        );
        assert!(found.point.is_some(), "{text}");
    }
}

#[test]
fn a_bad_line_is_named_by_number_and_reason() {
    let files = Files::new();
    let cases = [
        (
            "network,country\n11.0.0.0/8,DE\n11.0.0/8,FR\n",
            3,
            "`11.0.0/8` is not a network",
        ),
        ("11.0.0.9,11.0.0.1,DE\n", 1, "is empty or mixes"),
        (
            "11.0.0.0/8,Germany\n",
            1,
            "`Germany` is not a two-letter country code",
        ),
        ("11.0.0.0/8,DE,95,200\n", 1, "are not degrees"),
        ("11.0.0.0,11.0.0.9\n", 1, "too few columns"),
        (
            "prefix,region\n11.0.0.0/8,new york\n",
            2,
            "a region name is",
        ),
    ];
    for (text, want_line, want) in cases {
        let path = files.put("bad.csv", text);
        match GeoDb::open(&databases([path])) {
            Err(OpenError::Row { line, source, .. }) => {
                assert_eq!(line, want_line, "{text}");
                assert!(source.to_string().contains(want), "{source} for {text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let nothing = files.put("nothing.csv", "network,country\n");
    assert!(matches!(
        GeoDb::open(&databases([nothing])),
        Err(OpenError::Empty { .. })
    ));
    let missing = files.0.path().join("missing.mmdb");
    assert!(matches!(
        GeoDb::open(&databases([missing])),
        Err(OpenError::Read { .. })
    ));
}

#[test]
fn the_first_source_that_knows_an_address_answers() {
    let files = Files::new();
    let sources = Sources {
        databases: vec![
            files.put("v4.mmdb", mmdb(1, &[("11.0.0.0/8", country("DE")), ("10.0.0.0/8", country("AT"))])),
            files.put("v6.mmdb", mmdb(1, &[("2a00:5::/32", country("FR")), ("11.0.0.0/8", country("IT"))])),
        ],
        asn: vec![files.put("asn.csv", "11.0.0.0,11.255.255.255,64512,Example\n81.2.69.0,81.2.69.255,20712,AA\n")],
        overrides: Some(files.put(
            "overrides.csv",
            "# prefix,country,lat,lon\n11.9.0.0/16,SG,1.35,103.82\n11.8.0.0/16,region=syd1\n10.1.0.0/16,region=nyc3\n",
        )),
    };
    let db = GeoDb::open(&sources).unwrap();
    let cases = [
        ("11.1.1.1", "DE", Source::Database, Some(64512), None),
        ("::ffff:11.1.1.1", "DE", Source::Database, Some(64512), None),
        ("2002:b01:101::1", "DE", Source::Database, Some(64512), None),
        ("2a00:5::1", "FR", Source::Database, None, None),
        ("11.9.1.1", "SG", Source::Override, Some(64512), None),
        (
            "11.8.1.1",
            "DE",
            Source::Override,
            Some(64512),
            Some("syd1"),
        ),
        ("10.1.1.1", "AT", Source::Override, None, Some("nyc3")),
        ("10.2.1.1", "AT", Source::Database, None, None),
        ("81.2.69.142", "GB", Source::Embedded, Some(20712), None),
        ("192.168.1.1", "-", Source::Private, None, None),
        ("127.0.0.1", "-", Source::Loopback, None, None),
    ];
    for (address, want, source, asn, pinned) in cases {
        let found = db.lookup(ip(address));
        let pin = found.pinned.map(|pin| pin.to_string());
        let got = (code(&found), found.source, found.asn, pin);
        assert_eq!(
            got,
            (want.to_owned(), source, asn, pinned.map(str::to_owned)),
            "{address}"
        );
    }
    let roles: Vec<Role> = db.info().sources.iter().map(|source| source.role).collect();
    assert_eq!(
        roles,
        [
            Role::Overrides,
            Role::Database,
            Role::Database,
            Role::Asn,
            Role::Embedded
        ]
    );
}

#[test]
fn a_bad_file_keeps_the_tables_in_service_and_a_good_one_replaces_them() {
    let files = Files::new();
    let whole = mmdb(1_000, &[("11.0.0.0/8", country("DE"))]);
    let db = GeoDb::open(&databases([files.put("geo.mmdb", &whole)])).unwrap();
    let serves = |want: &str| assert_eq!(code(&db.lookup(ip("11.1.1.1"))), want);

    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        files.put("geo.mmdb", &whole[..cut]);
        assert!(
            matches!(db.reload(), Err(OpenError::Database { .. })),
            "cut at {cut}"
        );
        serves("DE");
    }
    files.put("geo.mmdb", mmdb(940, &[("11.0.0.0/8", country("FR"))]));
    assert!(matches!(
        db.reload(),
        Err(OpenError::Older { behind_s: 60, .. })
    ));
    serves("DE");
    files.put("geo.mmdb", mmdb(1_000, &[("11.0.0.0/8", country("FR"))]));
    db.reload().unwrap();
    serves("FR");
    let counts = db.reload_counts();
    assert_eq!((counts.succeeded, counts.failed), (1, 5));
}

#[test]
fn a_csv_cut_at_a_line_end_is_not_believed() {
    let files = Files::new();
    let lines: Vec<String> = (0..9)
        .map(|n| format!("11.{n}.0.0/16,{}\n", if n % 2 == 0 { "DE" } else { "FR" }))
        .collect();
    let db = GeoDb::open(&databases([files.put("geo.csv", lines.concat())])).unwrap();
    files.put("geo.csv", lines[..3].concat());
    assert!(matches!(
        db.reload(),
        Err(OpenError::Shrunk {
            before: 9,
            now: 3,
            ..
        })
    ));
    assert_eq!(code(&db.lookup(ip("11.8.1.1"))), "DE");
}

#[test]
fn a_watched_file_is_reloaded_when_it_is_replaced() {
    let files = Files::new();
    let db = GeoDb::open(&databases([files.put("geo.csv", "11.0.0.0/8,DE\n")])).unwrap();
    let _watcher = db.watch().unwrap();
    files.put("geo.csv", "11.0.0.0/8,FR\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while code(&db.lookup(ip("11.1.1.1"))) != "FR" {
        assert!(
            Instant::now() < deadline,
            "never reloaded: {:?}",
            db.reload_counts()
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_built_database_says_what_its_csv_said() {
    let files = Files::new();
    let csv = files.put("offices.csv", "network,country,lat,lon,asn\n10.20.0.0/16,DE,52.52,13.4,\n10.20.9.0/24,SG,1.35,103.82,64512\nfd12:3456::/32,FR,,,\n");
    let built = mmdb_from(&[csv], "Offices").unwrap();
    let db = GeoDb::open(&databases([files.put("offices.mmdb", &built.bytes)])).unwrap();
    assert_eq!(code(&db.lookup(ip("10.20.1.1"))), "DE");
    assert_eq!(db.lookup(ip("10.20.9.1")).asn, Some(64512));
    assert_eq!(code(&db.lookup(ip("fd12:3456::1"))), "FR");
    assert_eq!(db.lookup(ip("10.21.0.1")).source, Source::Private);
    assert_eq!(db.info().sources[0].kind, "Offices");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lookup_agrees_with_walking_the_tree(
        networks in prop::collection::vec((any::<u32>(), 1u8..=32, 0usize..5), 1..30),
        probes in prop::collection::vec(any::<u32>(), 30),
    ) {
        let codes = ["DE", "FR", "GB", "US", "JP"];
        let named: Vec<(String, Value)> = (networks.iter())
            .map(|&(bits, length, code)| (format!("{}/{length}", IpAddr::V4(bits.into())), country(codes[code])))
            .collect();
        let borrowed: Vec<(&str, Value)> = named.iter().map(|(network, value)| (network.as_str(), value.clone())).collect();
        let bytes = mmdb(1, &borrowed);
        let files = Files::new();
        let db = GeoDb::open(&databases([files.put("geo.mmdb", &bytes)])).unwrap();
        let tree = maxminddb::Reader::from_source(bytes).unwrap();
        for bits in networks.iter().map(|&(bits, _, _)| bits).chain(probes) {
            let address = IpAddr::V4(bits.into());
            let walked: Option<String> = tree.lookup(address).unwrap()
                .decode_path(&[maxminddb::PathElement::Key("country_code")]).unwrap();
            let found = db.lookup(address);
            let found = (found.source == Source::Database).then(|| code(&found));
            prop_assert_eq!(found, walked, "{}", address);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), marker in any::<bool>()) {
        if marker {
            bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        }
        let files = Files::new();
        for name in ["any.mmdb", "any.csv"] {
            let _ = GeoDb::open(&databases([files.put(name, &bytes)]));
        }
    }

    #[test]
    fn no_damage_to_a_database_makes_a_reader_panic(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = mmdb(1, &[("11.0.0.0/8", country("DE")), ("2a00::/16", country("FR"))]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let files = Files::new();
        let _ = GeoDb::open(&databases([files.put("damaged.mmdb", &bytes)]));
    }

    #[test]
    fn no_csv_makes_a_reader_panic(text in "[0-9a-fA-F.:/,=\"\nDE-]{0,200}") {
        let files = Files::new();
        let _ = GeoDb::open(&databases([files.put("any.csv", text)]));
    }
}
