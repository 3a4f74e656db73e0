use std::net::IpAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use domain::base::iana::Rtype;
use domain::base::{Message, MessageBuilder, Name, ToName as _};
use domain::rdata::AllRecordData;
use proptest::prelude::*;

use super::{Authority, Rcode, Response, Transport, answer};
use crate::certificates::challenges::{Challenge, Challenges};
use crate::dns::{
    ClientSubnet, CookieSecret, NameServer, RegionAddresses, Soa, Steered, SteeredName, Zone,
    Zones, record_data, wire_name,
};
use crate::region::RegionIndex;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 100));

/// A zone of three regions. Clients in 10.0.0.0/8 belong to the second, everybody else to the first.
struct Setup {
    zones: Zones,
    challenges: Challenges,
    now: Instant,
}

impl Setup {
    fn new() -> Self {
        let apex = wire_name("edge.test", None).unwrap();
        let at = |text: &str| wire_name(text, Some(&apex)).unwrap();
        let soa = Soa {
            ttl: 3600,
            primary: at("ns1"),
            mailbox: at("hostmaster"),
            refresh: 3600,
            retry: 900,
            expire: 86400,
            minimum: 60,
        };
        let server = |name: &str, address: [u8; 4]| NameServer {
            name: at(name),
            addresses: vec![address.into()],
        };
        let servers = [server("ns1", [192, 0, 2, 1]), server("ns2", [192, 0, 2, 2])];
        let steered = |answers, alpn: &[u8]| SteeredName {
            ttl: 30,
            answers,
            alpn: alpn.into(),
        };
        let many = format!("\"{}\"", "x".repeat(250));
        let long: Vec<String> = (0..8).map(|nth| format!("{many} \"{nth}\"")).collect();
        let mut records: Vec<(&str, &str, &str)> = vec![
            ("www", "CNAME", "@"),
            ("out", "CNAME", "elsewhere.example."),
            ("loop", "CNAME", "pool"),
            ("pool", "CNAME", "loop"),
            ("@", "CAA", "0 issue \"ca.example\""),
            ("note", "TXT", "hello"),
            ("sub", "NS", "ns.sub"),
            ("ns.sub", "A", "192.0.2.9"),
        ];
        records.extend(long.iter().map(|value| ("long", "TXT", value.as_str())));
        let records = records.into_iter().map(|(owner, rtype, value)| {
            let (rtype, data) = record_data(&apex, rtype, value).unwrap();
            (at(owner), rtype, 300, data)
        });
        let steered = vec![
            (at("@"), steered(1, b"\x02h2")),
            (at("two"), steered(2, b"")),
        ];
        let zone = Zone::new(&apex, soa, &servers, steered, records.collect()).unwrap();
        let region = |last| RegionAddresses {
            v4: vec![[203, 0, 113, last].into()],
            v6: vec!["2001:db8::1".parse().unwrap()],
        };
        Self {
            zones: Zones::new(vec![zone], vec![region(1), region(2), region(3)]),
            challenges: Challenges::default(),
            now: Instant::now(),
        }
    }

    fn send(&self, request: &[u8], transport: Transport, out: &mut [u8]) -> Option<Response> {
        let steer = |_: &[u8], client: IpAddr| {
            let is_ten = matches!(client, IpAddr::V4(v4) if v4.octets()[0] == 10);
            let order: [u8; 3] = if is_ten { [1, 0, 2] } else { [0, 1, 2] };
            Steered {
                regions: order
                    .into_iter()
                    .map(RegionIndex)
                    .collect::<ArrayVec<_, _>>(),
                needed: 8,
            }
        };
        let authority = Authority {
            zones: &self.zones,
            serial: 7,
            challenges: Some(&self.challenges),
            secret: CookieSecret([1; 16]),
            now: self.now,
            unix: 1_000_000,
            steer: &steer,
        };
        answer(&authority, request, CLIENT, transport, out)
    }

    /// The response to a query in a line: code, flags, then each section's records.
    fn ask(&self, request: &[u8]) -> String {
        self.ask_over(request, Transport::Udp)
    }

    fn ask_over(&self, request: &[u8], transport: Transport) -> String {
        let mut out = [0; 8192];
        match self.send(request, transport, &mut out) {
            Some(response) => describe(&out[..response.len]),
            None => "silence".into(),
        }
    }
}

fn describe(bytes: &[u8]) -> String {
    let message = Message::from_octets(bytes).unwrap();
    let header = message.header();
    let mut text = format!("{}", message.opt_rcode());
    for (flag, name) in [
        (header.aa(), " aa"),
        (header.tc(), " tc"),
        (header.ra(), " ra"),
    ] {
        text += if flag { name } else { "" };
    }
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (section, name) in [
        (answer, " |"),
        (authority, " || authority"),
        (additional, " || additional"),
    ] {
        let records: Vec<String> = section
            .limit_to::<AllRecordData<_, _>>()
            .map(|record| record.unwrap())
            .filter(|record| record.rtype() != Rtype::OPT)
            .map(|record| {
                let owner = record.owner().to_name::<Vec<u8>>();
                format!(
                    " {owner} {} {} {}",
                    record.ttl().as_secs(),
                    record.rtype(),
                    record.data()
                )
            })
            .collect();
        if !records.is_empty() {
            text += name;
            text += &records.join(";");
        }
    }
    text
}

fn query(name: &str, qtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(4711);
    builder
        .push((Name::vec_from_str(name).unwrap(), qtype))
        .unwrap();
    builder.finish()
}

/// A query with an OPT record of these options on the wire.
fn query_with(name: &str, qtype: Rtype, payload: u16, options: &[u8]) -> Vec<u8> {
    let mut bytes = query(name, qtype);
    bytes[11] = 1;
    bytes.extend_from_slice(&[0, 0, 41]);
    bytes.extend_from_slice(&payload.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(options.len() as u16).to_be_bytes());
    bytes.extend_from_slice(options);
    bytes
}

fn subnet(data: &[u8]) -> Vec<u8> {
    let mut option = vec![0, 8, 0, data.len() as u8];
    option.extend_from_slice(data);
    option
}

#[test]
fn every_kind_of_answer_is_as_the_rfcs_say() {
    let setup = Setup::new();
    let soa =
        "|| authority edge.test 60 SOA ns1.edge.test. hostmaster.edge.test. 7 3600 900 86400 60";
    for (name, qtype, want) in [
        (
            "edge.test",
            Rtype::A,
            "NOERROR aa | edge.test 30 A 203.0.113.1",
        ),
        (
            "edge.test",
            Rtype::AAAA,
            "NOERROR aa | edge.test 30 AAAA 2001:db8::1",
        ),
        (
            "edge.test",
            Rtype::HTTPS,
            "NOERROR aa | edge.test 30 HTTPS 1 . alpn=h2 ipv4hint=203.0.113.1 ipv6hint=2001:db8::1",
        ),
        (
            "two.edge.test",
            Rtype::A,
            "NOERROR aa | two.edge.test 30 A 203.0.113.1; two.edge.test 30 A 203.0.113.2",
        ),
        ("two.edge.test", Rtype::HTTPS, &format!("NOERROR aa {soa}")),
        (
            "www.edge.test",
            Rtype::A,
            "NOERROR aa | www.edge.test 300 CNAME edge.test.; edge.test 30 A 203.0.113.1",
        ),
        (
            "out.edge.test",
            Rtype::A,
            "NOERROR aa | out.edge.test 300 CNAME elsewhere.example.",
        ),
        (
            "edge.test",
            Rtype::CAA,
            "NOERROR aa | edge.test 300 CAA 0 issue \"ca.example\"",
        ),
        (
            "note.edge.test",
            Rtype::TXT,
            "NOERROR aa | note.edge.test 300 TXT \"hello\"",
        ),
        ("note.edge.test", Rtype::A, &format!("NOERROR aa {soa}")),
        ("none.edge.test", Rtype::A, &format!("NXDOMAIN aa {soa}")),
        (
            "edge.test",
            Rtype::SOA,
            "NOERROR aa | edge.test 3600 SOA ns1.edge.test. hostmaster.edge.test. 7 3600 900 86400 60",
        ),
        (
            "edge.test",
            Rtype::NS,
            "NOERROR aa | edge.test 3600 NS ns1.edge.test.; edge.test 3600 NS ns2.edge.test. || additional ns1.edge.test 3600 A 192.0.2.1; ns2.edge.test 3600 A 192.0.2.2",
        ),
        (
            "x.sub.edge.test",
            Rtype::A,
            "NOERROR || authority sub.edge.test 300 NS ns.sub.edge.test. || additional ns.sub.edge.test 300 A 192.0.2.9",
        ),
        (
            "edge.test",
            Rtype::ANY,
            "NOERROR aa | edge.test 3600 HINFO \"RFC8482\" \"\"",
        ),
        ("edge.test", Rtype::AXFR, "REFUSED"),
        ("edge.test", Rtype::IXFR, "REFUSED"),
        ("example.com", Rtype::A, "REFUSED"),
        (".", Rtype::NS, "REFUSED"),
    ] {
        assert_eq!(setup.ask(&query(name, qtype)), want, "{name} {qtype}");
    }
    // A loop of aliases ends.
    assert!(
        setup
            .ask(&query("loop.edge.test", Rtype::A))
            .starts_with("NOERROR aa |")
    );
}

#[test]
fn the_case_of_the_question_is_kept() {
    let asked = query("eDgE.TeSt", Rtype::A);
    let mut out = [0; 512];
    let length = Setup::new()
        .send(&asked, Transport::Udp, &mut out)
        .unwrap()
        .len;
    assert_eq!(out[12..asked.len()], asked[12..]);
    assert_eq!(
        describe(&out[..length]),
        "NOERROR aa | eDgE.TeSt 30 A 203.0.113.1"
    );
    assert_eq!(out[..2], asked[..2], "the identifier");
}

#[test]
fn the_clients_network_decides_and_the_scope_is_the_widest_true_one() {
    let setup = Setup::new();
    // option in the query, address answered, option in the response
    let cases: [(&[u8], &str, &[u8]); 6] = [
        (
            &[0, 1, 24, 0, 10, 1, 2],
            "203.0.113.2",
            &[0, 1, 24, 8, 10, 1, 2],
        ),
        (
            &[0, 1, 24, 0, 11, 1, 2],
            "203.0.113.1",
            &[0, 1, 24, 8, 11, 1, 2],
        ),
        (&[0, 1, 7, 0, 10], "203.0.113.2", &[0, 1, 7, 7, 10]),
        (&[0, 1, 0, 0], "203.0.113.1", &[0, 1, 0, 0]),
        (&[0, 0, 0, 0], "203.0.113.1", &[0, 0, 0, 0]),
        (
            &[0, 2, 56, 0, 32, 1, 13, 184, 0, 0, 0],
            "203.0.113.1",
            &[0, 2, 56, 8, 32, 1, 13, 184, 0, 0, 0],
        ),
    ];
    for (asked, address, answered) in cases {
        let request = query_with("edge.test", Rtype::A, 1232, &subnet(asked));
        let mut out = [0; 1232];
        let response = setup.send(&request, Transport::Udp, &mut out).unwrap();
        assert!(
            describe(&out[..response.len]).ends_with(address),
            "{asked:?}"
        );
        assert!(
            out[..response.len].ends_with(&subnet(answered)),
            "{asked:?}"
        );
    }
    // What does not depend on the client holds for everybody; what is refused says nothing.
    for (name, scope) in [
        ("note.edge.test", Some(0)),
        ("none.edge.test", Some(0)),
        ("example.com", None),
    ] {
        let request = query_with(name, Rtype::TXT, 1232, &subnet(&[0, 1, 24, 0, 10, 1, 2]));
        let mut out = [0; 1232];
        let length = setup.send(&request, Transport::Udp, &mut out).unwrap().len;
        let option = scope.map(|scope| subnet(&[0, 1, 24, scope, 10, 1, 2]));
        let got = out[..length]
            .windows(11)
            .find(|window| window.starts_with(&[0, 8, 0, 7]));
        assert_eq!(got, option.as_deref(), "{name}");
    }
}

#[test]
fn what_is_malformed_is_told_so_or_met_with_silence() {
    let setup = Setup::new();
    let plain = query("edge.test", Rtype::A);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = plain.clone();
        change(&mut bytes);
        setup.ask(&bytes)
    };
    assert_eq!(changed(&|b| b.truncate(11)), "silence");
    assert_eq!(changed(&|b| b[2] |= 0x80), "silence", "a response");
    assert_eq!(changed(&|b| b[2] = 0x20), "NOTIMP", "NOTIFY");
    assert_eq!(changed(&|b| b[2] = 0x28), "NOTIMP", "UPDATE");
    assert_eq!(changed(&|b| b.truncate(20)), "FORMERR", "cut");
    assert_eq!(changed(&|b| b[5] = 0), "FORMERR", "no question");
    assert_eq!(changed(&|b| b[5] = 2), "FORMERR", "two questions");
    assert_eq!(changed(&|b| b[7] = 1), "FORMERR", "an answer in a query");
    assert_eq!(changed(&|b| b[12] = 0xc0), "FORMERR", "a pointer");
    assert_eq!(
        changed(&|b| b.splice(12..b.len() - 4, [0xc0, 12]).for_each(drop)),
        "FORMERR",
        "a loop"
    );
    assert_eq!(
        changed(&|b| b.push(0)),
        "FORMERR",
        "something behind the end"
    );
    assert_eq!(
        changed(&|b| {
            let at = b.len() - 1;
            b[at] = 3;
        }),
        "REFUSED",
        "class CH"
    );
    let with = |options: &[u8]| setup.ask(&query_with("edge.test", Rtype::A, 1232, options));
    assert_eq!(with(&subnet(&[0, 3, 8, 0, 1])), "FORMERR", "family");
    assert_eq!(
        with(&subnet(&[0, 1, 33, 0, 1, 1, 1, 1, 1])),
        "FORMERR",
        "prefix"
    );
    assert_eq!(
        with(&subnet(&[0, 1, 20, 0, 1, 1, 1])),
        "FORMERR",
        "trailing bits"
    );
    assert_eq!(
        with(&[subnet(&[0, 1, 8, 0, 1]), subnet(&[0, 1, 8, 0, 1])].concat()),
        "FORMERR",
        "two"
    );
    assert_eq!(
        with(&[0, 10, 0, 4, 1, 2, 3, 4]),
        "FORMERR",
        "a short cookie"
    );
    assert_eq!(
        with(&[0, 8, 0, 200, 1]),
        "FORMERR",
        "an option longer than its record"
    );
    assert_eq!(
        with(&[0xff, 0xff, 0, 1, 7]),
        "NOERROR aa | edge.test 30 A 203.0.113.1",
        "unknown"
    );
    let mut version = query_with("edge.test", Rtype::A, 1232, &[]);
    let at = version.len() - 5;
    version[at] = 1;
    assert_eq!(setup.ask(&version), "BADVERS");
    let mut two = query_with("edge.test", Rtype::A, 1232, &[]);
    let opt = two[two.len() - 11..].to_vec();
    two.extend_from_slice(&opt);
    two[11] = 2;
    assert_eq!(setup.ask(&two), "FORMERR", "two OPT records");
}

#[test]
fn what_does_not_fit_is_truncated_and_comes_whole_over_tcp() {
    let setup = Setup::new();
    for request in [
        query("long.edge.test", Rtype::TXT),
        query_with("long.edge.test", Rtype::TXT, 4096, &[]),
        query_with("long.edge.test", Rtype::TXT, 0, &[]),
    ] {
        assert_eq!(setup.ask(&request), "NOERROR aa tc");
        let whole = setup.ask_over(&request, Transport::Tcp);
        assert_eq!(whole.matches(" TXT ").count(), 8, "{whole}");
    }
}

#[test]
fn a_response_over_the_rate_limit_is_cut_to_its_question() {
    let setup = Setup::new();
    for (options, request) in [
        (0, query("edge.test", Rtype::A)),
        (11, query_with("edge.test", Rtype::A, 1232, &[])),
    ] {
        let mut out = [0; 1232];
        let mut response = setup.send(&request, Transport::Udp, &mut out).unwrap();
        response.slip(&mut out);
        assert_eq!(response.len, 12 + 11 + 4 + options);
        assert_eq!(describe(&out[..response.len]), "NOERROR aa tc");
    }
}

#[test]
fn a_certificate_authority_finds_its_challenge() {
    let setup = Setup::new();
    let name = "_acme-challenge.edge.test";
    assert!(setup.ask(&query(name, Rtype::TXT)).starts_with("NXDOMAIN"));
    let challenge = |certificate: &str, digest| {
        let domain = "edge.test".to_owned();
        let challenge = Challenge { domain, digest };
        let text = challenge.txt();
        setup.challenges.set(certificate, &[challenge], setup.now);
        text
    };
    let two = challenge("*.edge.test", [2; 32]);
    let one = challenge("edge.test", [1; 32]);
    let name_as_asked = "_ACME-challenge.edge.test";
    assert_eq!(
        setup.ask(&query(name_as_asked, Rtype::TXT)),
        format!("NOERROR aa | {name_as_asked} 0 TXT \"{two}\"; {name_as_asked} 0 TXT \"{one}\"")
    );
    // Resolvers that ask step by step must not hear that the name does not exist.
    assert!(
        setup
            .ask(&query(name, Rtype::NS))
            .starts_with("NOERROR aa || authority")
    );
}

#[test]
fn cookies_are_answered_and_known_again() {
    let setup = Setup::new();
    let client = [7; 8];
    let option =
        |server: &[u8]| [&[0, 10, 0, 8 + server.len() as u8][..], &client, server].concat();
    let mut out = [0; 1232];
    let send = |option: &[u8], out: &mut [u8]| {
        setup
            .send(
                &query_with("edge.test", Rtype::A, 1232, option),
                Transport::Udp,
                out,
            )
            .unwrap()
    };
    let first = send(&option(&[]), &mut out);
    assert_eq!(first.cookie.as_str(), "client_only");
    let server = out[first.len - 16..first.len].to_vec();
    assert_eq!(send(&option(&server), &mut out).cookie.as_str(), "valid");
    assert_eq!(send(&option(&[9; 16]), &mut out).cookie.as_str(), "invalid");
}

proptest! {
    #[test]
    fn junk_is_never_more_than_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut out = [0; 1232];
        if let Some(response) = Setup::new().send(&bytes, Transport::Udp, &mut out) {
            prop_assert!(response.len <= 1232);
            prop_assert!(Message::from_octets(&out[..response.len]).is_ok());
        }
    }

    /// Queries with a few bytes changed: every response can be read, fits, and repeats identifier and opcode.
    #[test]
    fn responses_to_almost_right_queries_are_well_formed(
        name in "(www|long|two|sub|x)?(\\.?edge\\.test)?",
        qtype in prop_oneof![Just(1_u16), Just(16), Just(28), Just(65), Just(255), any::<u16>()],
        payload in any::<u16>(),
        source in 0_u8..=32,
        address in any::<[u8; 4]>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let Ok(_) = Name::vec_from_str(&name) else { return Ok(()) };
        let network = ClientSubnet::new(IpAddr::from(address), source);
        let bytes = usize::from(source).div_ceil(8);
        let given = network.address().map_or(vec![], |address| match address {
            IpAddr::V4(v4) => v4.octets()[..bytes].to_vec(),
            IpAddr::V6(_) => vec![],
        });
        let option = subnet(&[&[0, 1, source, 0][..], &given].concat());
        let mut request = query_with(&name, Rtype::from_int(qtype), payload, &option);
        for (at, value) in &changes {
            let at = at.index(request.len());
            request[at] = *value;
        }
        let mut out = [0; 1232];
        let Some(response) = Setup::new().send(&request, Transport::Udp, &mut out) else { return Ok(()) };
        let limit = usize::from(payload.clamp(512, 1232));
        prop_assert!(!changes.is_empty() || response.len <= limit);
        let message = Message::from_octets(&out[..response.len]).unwrap();
        prop_assert!(message.header().qr() && !message.header().ra());
        prop_assert_eq!(&out[..2], &request[..2]);
        prop_assert_eq!(message.header().opcode().to_int(), request[2] >> 3 & 0xf);
        let (_, answer, authority, additional) = message.sections().unwrap();
        for section in [answer, authority, additional] {
            for record in section {
                prop_assert!(record.is_ok());
            }
        }
        if response.rcode == Rcode::NoError && changes.is_empty() && qtype == 1 && name == "edge.test" {
            prop_assert_eq!(message.header_counts().ancount(), 1);
        }
    }
}
