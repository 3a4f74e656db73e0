//! What DNS counts. Labels are enums and regions; a name that somebody asked for is never one.

use domain::base::iana::Rtype;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result};

use super::answer::{Rcode, Response, Transport};
use super::cookie::CookieState;
use super::rate_limit::Verdict;
use crate::region::RegionSet;

/// Types with a series of their own; the others share one.
const TYPES: [(Rtype, &str); 11] = [
    (Rtype::A, "a"),
    (Rtype::AAAA, "aaaa"),
    (Rtype::HTTPS, "https"),
    (Rtype::SVCB, "svcb"),
    (Rtype::NS, "ns"),
    (Rtype::SOA, "soa"),
    (Rtype::TXT, "txt"),
    (Rtype::CNAME, "cname"),
    (Rtype::CAA, "caa"),
    (Rtype::MX, "mx"),
    (Rtype::ANY, "any"),
];

/// Handles of all families; counting is one atomic addition each.
#[derive(Clone, Debug)]
pub struct DnsMetrics {
    /// Connections over TCP that are open.
    pub connections: IntGauge,
    /// The zones' serial number.
    pub serial: IntGauge,
    /// By transport, then by type; the last is "other".
    queries: [[IntCounter; TYPES.len() + 1]; 2],
    responses: [IntCounter; Rcode::ALL.len()],
    ignored: IntCounter,
    /// By region, then by whether the client's network was known.
    answers: Vec<[IntCounter; 2]>,
    cookies: [IntCounter; CookieState::ALL.len()],
    slipped: IntCounter,
    dropped: IntCounter,
}

impl DnsMetrics {
    /// Registers every family.
    pub fn register(registry: &Registry, regions: &RegionSet) -> Result<Self> {
        let counter = |name, help, labels: &[&str]| -> Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name, help| -> Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let queries = counter(
            "gateway_dns_queries_total",
            "DNS queries by transport and type.",
            &["transport", "type"],
        )?;
        let responses = counter(
            "gateway_dns_responses_total",
            "DNS responses by code; ignored means silence.",
            &["code"],
        )?;
        let answers = counter(
            "gateway_dns_answers_total",
            "Steered DNS answers by their first region, and by whose address decided.",
            &["region", "client"],
        )?;
        let cookies = counter(
            "gateway_dns_cookies_total",
            "DNS queries by what their cookie was worth.",
            &["cookie"],
        )?;
        let limited = counter(
            "gateway_dns_rate_limited_total",
            "DNS responses over the rate limit, by what was done.",
            &["action"],
        )?;
        let by_type = |transport: &str| {
            std::array::from_fn(|at| {
                let name = TYPES.get(at).map_or("other", |(_, name)| name);
                queries.with_label_values(&[transport, name])
            })
        };
        Ok(Self {
            connections: gauge(
                "gateway_dns_tcp_connections",
                "Connections to the DNS listener that are open.",
            )?,
            serial: gauge(
                "gateway_dns_serial",
                "Serial number of the zones, which grows with every change of an answer.",
            )?,
            queries: [by_type("udp"), by_type("tcp")],
            responses: Rcode::ALL.map(|code| responses.with_label_values(&[code.as_str()])),
            ignored: responses.with_label_values(&["ignored"]),
            answers: regions
                .iter()
                .map(|(_, region)| {
                    ["resolver", "subnet"]
                        .map(|client| answers.with_label_values(&[region.name.as_str(), client]))
                })
                .collect(),
            cookies: CookieState::ALL.map(|state| cookies.with_label_values(&[state.as_str()])),
            slipped: limited.with_label_values(&["truncated"]),
            dropped: limited.with_label_values(&["dropped"]),
        })
    }

    /// Counts a query and what became of it.
    pub fn count(&self, transport: Transport, response: Option<&Response>, verdict: Verdict) {
        let Some(response) = response else {
            self.ignored.inc();
            return;
        };
        let is_asked = |(rtype, _): &(Rtype, _)| Some(*rtype) == response.qtype;
        let rtype = TYPES.iter().position(is_asked).unwrap_or(TYPES.len());
        self.queries[transport as usize][rtype].inc();
        self.cookies[response.cookie as usize].inc();
        match verdict {
            Verdict::Drop => return self.dropped.inc(),
            Verdict::Slip => self.slipped.inc(),
            Verdict::Send => {}
        }
        if let Some(at) = Rcode::ALL.iter().position(|code| *code == response.rcode) {
            self.responses[at].inc();
        }
        let region = response
            .region
            .and_then(|region| self.answers.get(region.get()));
        if let Some(region) = region {
            region[usize::from(response.has_subnet)].inc();
        }
    }
}
