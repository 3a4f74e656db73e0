use domain::base::iana::Rtype;

use super::{Found, NameServer, Soa, SteeredName, Zone, ZoneError, Zones, wire_name};
use crate::dns::record_data;

fn name(text: &str) -> Box<[u8]> {
    wire_name(text, None).unwrap()
}

/// A zone with one name server and these records, each an owner, a type and a value.
fn zone(apex: &str, steered: &[&str], records: &[(&str, &str, &str)]) -> Result<Zone, ZoneError> {
    let apex = name(apex);
    let soa = Soa {
        ttl: 3600,
        primary: name("ns1.example"),
        mailbox: name("hostmaster.example"),
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum: 60,
    };
    let server = NameServer {
        name: name("ns1.example"),
        addresses: Vec::new(),
    };
    let steered = steered.iter().map(|owner| {
        let steered = SteeredName {
            ttl: 30,
            answers: 1,
            alpn: Box::default(),
        };
        (wire_name(owner, Some(&apex)).unwrap(), steered)
    });
    let records = records.iter().map(|(owner, rtype, value)| {
        let (rtype, data) = record_data(&apex, rtype, value).unwrap();
        (wire_name(owner, Some(&apex)).unwrap(), rtype, 60, data)
    });
    Zone::new(&apex, soa, &[server], steered.collect(), records.collect())
}

#[test]
fn names_are_found_as_rfc_4592_says() {
    let zone = zone(
        "edge.test",
        &["@"],
        &[
            ("www", "CNAME", "@"),
            ("a.b", "A", "192.0.2.1"),
            ("*.wild", "A", "192.0.2.2"),
            ("below.wild", "TXT", "x"),
            ("sub", "NS", "ns.elsewhere."),
            ("under.sub", "A", "192.0.2.3"),
        ],
    )
    .unwrap();
    let found = |text: &str| {
        let name = name(text);
        match zone.find(&name) {
            Found::Node(node) => {
                match (node.set(Rtype::A), node.set(Rtype::CNAME), &node.steered) {
                    (Some(set), ..) => format!("A {}", set.data[0][3]),
                    (_, Some(_), _) => "alias".into(),
                    (_, _, Some(_)) => "steered".into(),
                    _ => "nothing here".into(),
                }
            }
            Found::Delegation(owner, _) => format!("delegation of {} bytes", owner.len()),
            Found::Missing => "missing".into(),
        }
    };
    for (name, want) in [
        ("edge.test", "steered"),
        ("www.edge.test", "alias"),
        ("x.www.edge.test", "missing"),
        ("a.b.edge.test", "A 1"),
        ("b.edge.test", "nothing here"),
        ("x.b.edge.test", "missing"),
        ("any.wild.edge.test", "A 2"),
        ("x.y.wild.edge.test", "A 2"),
        ("below.wild.edge.test", "nothing here"),
        ("x.below.wild.edge.test", "missing"),
        ("sub.edge.test", "delegation of 15 bytes"),
        ("x.y.z.sub.edge.test", "delegation of 15 bytes"),
        ("under.sub.edge.test", "delegation of 15 bytes"),
        ("other.edge.test", "missing"),
    ] {
        assert_eq!(found(name), want, "{name}");
    }
    let deep = format!("{}edge.test", "x.".repeat(110));
    assert_eq!(found(&deep), "missing");
}

#[test]
fn the_closest_zone_answers_and_only_at_a_boundary_of_labels() {
    let zones = ["edge.test", "deep.edge.test"].map(|apex| zone(apex, &[], &[]).unwrap());
    let zones = Zones::new(zones.into(), Vec::new());
    let apex = |text: &str| zones.zone_of(&name(text)).map(|zone| zone.apex.len());
    assert_eq!(apex("edge.test"), Some(11));
    assert_eq!(apex("x.edge.test"), Some(11));
    assert_eq!(apex("x.deep.edge.test"), Some(16));
    assert_eq!(apex("test"), None);
    assert_eq!(apex("ledge.test"), None);
    // A label that holds the bytes of the zone's name is not the zone.
    let inside = b"\x0cx\x04edge\x04test\x00\x03com\x00";
    assert!(zones.zone_of(inside).is_none());
}

#[test]
fn what_cannot_stand_in_a_zone_is_refused() {
    let refused = |steered: &[&str], records: &[(&str, &str, &str)]| {
        zone("edge.test", steered, records)
            .map_or_else(|error| error.to_string(), |_| "taken".into())
    };
    let at = |steered, records: &[_], reason: &str| {
        let got = refused(steered, records);
        assert!(got.contains(reason), "{records:?}: {got}");
    };
    at(
        &[],
        &[("a", "CNAME", "b"), ("a", "TXT", "x")],
        "nothing else can stand there",
    );
    at(&[], &[("@", "CNAME", "b")], "nothing else can stand there");
    at(
        &["a"],
        &[("a", "CNAME", "b")],
        "nothing else can stand there",
    );
    at(
        &[],
        &[("a", "CNAME", "b"), ("a", "CNAME", "c")],
        "more than one CNAME",
    );
    at(&["a"], &[("a", "A", "192.0.2.1")], "come from the regions");
    at(&[], &[("@", "NS", "ns2.example.")], "name_servers");
    at(&[], &[("a.other.", "A", "192.0.2.1")], "is not in zone");
    at(&["ledge.test."], &[], "is not in zone");
}
