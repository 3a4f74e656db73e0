//! No DNS message crashes the server, or gets a response that is longer than allowed or cannot be read. Run with
//! `cargo +nightly fuzz run dns_answer` in `gateway/`; `corpus/dns_answer/README.md` says what the seeds are.

#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Instant;

use domain::base::Message;
use gateway::dns::{
    Authority, CookieSecret, NameServer, RegionAddresses, Soa, Steered, SteeredName, Transport,
    Zone, Zones, answer, record_data, wire_name,
};
use gateway::region::RegionIndex;
use libfuzzer_sys::fuzz_target;

static ZONES: LazyLock<Zones> = LazyLock::new(|| {
    let apex = wire_name("edge.test", None).unwrap();
    let at = |text: &str| wire_name(text, Some(&apex)).unwrap();
    let soa = Soa {
        ttl: 60,
        primary: at("ns1"),
        mailbox: at("hostmaster"),
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum: 1,
    };
    let servers = [NameServer { name: at("ns1"), addresses: vec![[192, 0, 2, 1].into()] }];
    let steered = SteeredName { ttl: 5, answers: 3, alpn: b"\x02h2"[..].into() };
    let long = format!("\"{}\"", "x".repeat(250));
    let records = [
        ("www", "CNAME", "@"),
        ("loop", "CNAME", "loop"),
        ("*.wild", "A", "192.0.2.2"),
        ("sub", "NS", "ns.sub"),
        ("ns.sub", "A", "192.0.2.9"),
        ("long", "TXT", long.as_str()),
    ];
    let records = records.map(|(owner, rtype, value)| {
        let (rtype, data) = record_data(&apex, rtype, value).unwrap();
        (at(owner), rtype, 300, data)
    });
    let zone = Zone::new(&apex, soa, &servers, vec![(apex.clone(), steered)], records.into()).unwrap();
    let region = RegionAddresses { v4: vec![[203, 0, 113, 1].into()], v6: vec!["2001:db8::1".parse().unwrap()] };
    Zones::new(vec![zone], vec![region])
});

fuzz_target!(|request: &[u8]| {
    let steer = |_: &[u8], _: IpAddr| Steered { regions: [RegionIndex::FIRST].into_iter().collect(), needed: 24 };
    let authority = Authority {
        zones: &ZONES,
        serial: 1,
        challenges: None,
        secret: CookieSecret([1; 16]),
        now: Instant::now(),
        unix: 1_000_000,
        steer: &steer,
    };
    for (transport, limit) in [(Transport::Udp, 1232), (Transport::Tcp, 16 << 10)] {
        let mut out = vec![0; limit];
        let Some(mut response) = answer(&authority, request, [192, 0, 2, 7].into(), transport, &mut out) else {
            continue;
        };
        assert!(response.len <= limit);
        let message = Message::from_octets(&out[..response.len]).unwrap();
        assert!(message.header().qr());
        let (_, answers, authorities, additionals) = message.sections().unwrap();
        for section in [answers, authorities, additionals] {
            assert!(section.into_iter().all(|record| record.is_ok()));
        }
        response.slip(&mut out);
        let cut = Message::from_octets(&out[..response.len]).unwrap();
        assert!(cut.header().tc() && cut.sections().is_ok());
    }
});
