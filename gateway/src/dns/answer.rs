//! From a query to its response: a function of the zones, the regions' state and the time. Writes into the
//! caller's buffer and allocates nothing.

use std::net::IpAddr;
use std::time::Instant;

use domain::base::iana::{Class, Rtype};

use super::cookie::{CookieSecret, CookieState};
use super::host::host_of;
use super::query::{Edns, Query, Rejected};
use super::rate_limit::Kind;
use super::steered::Steered;
use super::writer::{Full, Section, Writer};
use super::zone::{Found, Node, RecordSet, SteeredName, Zone, Zones};
use crate::certificates::challenges::Challenges;
use crate::region::RegionIndex;

/// Bytes of a datagram that pass every network unfragmented (the DNS flag day of 2020).
pub(super) const PAYLOAD: u16 = 1232;

/// Bytes of a datagram to a client without EDNS (RFC 1035 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;

/// Aliases that are followed for one answer.
const MAX_ALIASES: usize = 8;

const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;

/// What is answered from, at one moment.
pub struct Authority<'a> {
    /// The zones.
    pub zones: &'a Zones,
    /// Their serial number.
    pub serial: u32,
    /// What certificate authorities look for.
    pub challenges: Option<&'a Challenges>,
    /// What cookies are made with.
    pub secret: CookieSecret,
    /// The time.
    pub now: Instant,
    /// The same in Unix seconds, for cookies.
    pub unix: u32,
    /// The best regions for a name and a client's address.
    pub steer: &'a dyn Fn(&[u8], IpAddr) -> Steered,
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram, from an address that may be forged.
    Udp,
    /// Over a connection.
    Tcp,
}

/// Response codes that we use (RFC 1035 4.1.1, RFC 6891 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// Answered, though possibly with nothing.
    NoError = 0,
    /// The query is malformed.
    FormErr = 1,
    /// The name does not exist.
    NxDomain = 3,
    /// Not a query.
    NotImp = 4,
    /// Not our zone, not our class, or a zone transfer.
    Refused = 5,
    /// A version of EDNS that does not exist yet.
    BadVers = 16,
}

impl Rcode {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] = [
        Self::NoError,
        Self::FormErr,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::BadVers,
    ];

    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::BadVers => "badvers",
        }
    }
}

/// A response that stands in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its length.
    pub len: usize,
    /// Its code.
    pub rcode: Rcode,
    /// Which kind of response it is, for the rate limit.
    pub kind: Kind,
    /// What it is about, for the rate limit: equal for equal responses.
    pub about: u64,
    /// The type that was asked for.
    pub qtype: Option<Rtype>,
    /// What the query's cookie was worth.
    pub cookie: CookieState,
    /// The first region of a steered answer.
    pub region: Option<RegionIndex>,
    /// Whether the client's own network was known.
    pub has_subnet: bool,
    question_end: usize,
    opt_start: usize,
}

impl Response {
    /// Takes all records out and says "truncated": a client whose address is not forged asks again over TCP.
    pub fn slip(&mut self, out: &mut [u8]) {
        let opt = self.opt_start..self.len;
        let has_opt = !opt.is_empty();
        let end = self.question_end + opt.len();
        out.copy_within(opt, self.question_end);
        out[2] |= (TRUNCATED >> 8) as u8;
        out[6..12].copy_from_slice(&[0, 0, 0, 0, 0, u8::from(has_opt)]);
        (self.len, self.opt_start) = (end, self.question_end);
    }
}

/// What an answer turned out to be.
struct Outcome {
    rcode: Rcode,
    kind: Kind,
    flags: u16,
    region: Option<RegionIndex>,
    /// Bits of the client's address that the answer depends on.
    needed: u8,
}

/// Answers one message. `None` means silence. `source` is who sent it.
pub fn answer(
    authority: &Authority<'_>,
    request: &[u8],
    source: IpAddr,
    transport: Transport,
    out: &mut [u8],
) -> Option<Response> {
    match Query::parse(request) {
        Ok(query) => {
            let asked = Some((query.name, query.rest));
            let resolve = |writer: &mut Writer<'_>| resolve(authority, &query, source, writer);
            let mut response = respond(
                authority, request, asked, query.edns, source, transport, out, resolve,
            )?;
            response.qtype = Some(query.qtype);
            response.about = match response.kind {
                Kind::Answer => xxhash_rust::xxh3::xxh3_64_with_seed(
                    query.lower(),
                    u64::from(query.qtype.to_int()),
                ),
                _ => 0,
            };
            Some(response)
        }
        Err(Rejected::Silence) => None,
        Err(Rejected::Code(rcode, asked, edns)) => {
            let outcome = |_: &mut Writer<'_>| Ok(Outcome::code(rcode));
            respond(
                authority, request, asked, edns, source, transport, out, outcome,
            )
        }
    }
}

/// The frame of every response: header, question, what `write` adds, and EDNS.
#[allow(
    clippy::too_many_arguments,
    reason = "one call from each branch of `answer`"
)]
fn respond(
    authority: &Authority<'_>,
    request: &[u8],
    asked: Option<(&[u8], &[u8])>,
    edns: Option<Edns>,
    source: IpAddr,
    transport: Transport,
    out: &mut [u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<Outcome, Full>,
) -> Option<Response> {
    let &[id0, id1, flags, ..] = request else {
        return None;
    };
    let size = match (transport, edns) {
        (Transport::Tcp, _) => out.len(),
        (Transport::Udp, Some(edns)) => edns.payload.clamp(PLAIN_PAYLOAD, PAYLOAD).into(),
        (Transport::Udp, None) => PLAIN_PAYLOAD.into(),
    };
    let cookie = edns.and_then(|edns| edns.cookie);
    let state = cookie.map_or(CookieState::None, |cookie| {
        cookie.state(source, authority.secret, authority.unix)
    });
    // What EDNS needs is set aside: 11 bytes of its own, 28 for a cookie, 8 and an address for a network.
    let mut writer = Writer::new(out, size - edns.map_or(0, |_| 11 + 28 + 24)).ok()?;
    if let Some((name, rest)) = asked {
        writer.question(name, rest).ok()?;
    }
    let question = writer.mark();
    let question_end = writer.len();
    let outcome = write(&mut writer).unwrap_or_else(|Full| {
        writer.rewind(question);
        Outcome {
            flags: AUTHORITATIVE | TRUNCATED,
            ..Outcome::code(Rcode::NoError)
        }
    });
    writer.set_limit(size);
    let opt_start = writer.len();
    if let Some(edns) = edns {
        let extended = (outcome.rcode as u32 >> 4) << 24 | u32::from(edns.dnssec_ok) << 15;
        let options = |out: &mut Writer<'_>| {
            let is_answer = matches!(outcome.rcode, Rcode::NoError | Rcode::NxDomain);
            if let Some(subnet) = edns.subnet.filter(|_| is_answer) {
                subnet.write(subnet.scope(outcome.needed), out)?;
            }
            cookie.map_or(Ok(()), |cookie| {
                cookie.write(source, authority.secret, authority.unix, out)
            })
        };
        writer.opt(PAYLOAD, extended, options).ok()?;
    }
    // Opcode and "recursion desired" are repeated; recursion is not available.
    let repeated = u16::from(flags & 0x79) << 8;
    let code = outcome.rcode as u16 & 0xf;
    Some(Response {
        len: writer.finish([id0, id1], RESPONSE | repeated | outcome.flags | code),
        rcode: outcome.rcode,
        kind: outcome.kind,
        about: 0,
        qtype: None,
        cookie: state,
        region: outcome.region,
        has_subnet: edns.and_then(|edns| edns.subnet?.address()).is_some(),
        question_end,
        opt_start,
    })
}

/// The algorithm of RFC 1034 4.3.2, for a server that only has zones.
fn resolve(
    authority: &Authority<'_>,
    query: &Query<'_>,
    source: IpAddr,
    out: &mut Writer<'_>,
) -> Result<Outcome, Full> {
    let refused = Ok(Outcome::code(Rcode::Refused));
    let is_transfer = matches!(query.qtype, Rtype::AXFR | Rtype::IXFR);
    let is_class = matches!(query.class, Class::IN | Class::ANY);
    let Some(mut zone) = authority
        .zones
        .zone_of(query.lower())
        .filter(|_| is_class && !is_transfer)
    else {
        return refused;
    };
    let mut name = query.lower();
    for _ in 0..MAX_ALIASES {
        if let Some(outcome) = challenge(authority, zone, name, query.qtype, out)? {
            return Ok(outcome);
        }
        let node = match zone.find(name) {
            Found::Node(node) => node,
            Found::Delegation(owner, servers) => return referral(zone, owner, servers, out),
            Found::Missing => return negative(authority, zone, Rcode::NxDomain, 0, out),
        };
        if query.qtype == Rtype::ANY {
            return minimal_any(name, out);
        }
        if let Some(alias) = node
            .set(Rtype::CNAME)
            .filter(|_| query.qtype != Rtype::CNAME)
        {
            records(out, Section::Answer, name, alias)?;
            let target = alias.data.first().map_or(name, |data| data);
            let Some(next) = authority.zones.zone_of(target) else {
                return Ok(Outcome::found());
            };
            (name, zone) = (target, next);
            continue;
        }
        return at_node(authority, query, source, zone, name, node, out);
    }
    Ok(Outcome::found())
}

fn at_node(
    authority: &Authority<'_>,
    query: &Query<'_>,
    source: IpAddr,
    zone: &Zone,
    name: &[u8],
    node: &Node,
    out: &mut Writer<'_>,
) -> Result<Outcome, Full> {
    if let Some(steered) = &node.steered
        && matches!(query.qtype, Rtype::A | Rtype::AAAA | Rtype::HTTPS)
    {
        let subnet = query.edns.and_then(|edns| edns.subnet?.address());
        let regions = (authority.steer)(name, subnet.unwrap_or(source));
        let before = out.records(Section::Answer);
        lead(authority.zones, query.qtype, name, steered, &regions, out)?;
        if out.records(Section::Answer) > before {
            return Ok(Outcome {
                region: regions.regions.first().copied(),
                needed: regions.needed,
                ..Outcome::found()
            });
        }
    }
    if let Some(set) = node.set(query.qtype) {
        records(out, Section::Answer, name, set)?;
        if query.qtype == Rtype::NS {
            glue(zone, set, out);
        }
        return Ok(Outcome::found());
    }
    if query.qtype == Rtype::SOA && *name == *zone.apex {
        soa(authority, zone, Section::Answer, zone.soa.ttl, out)?;
        return Ok(Outcome::found());
    }
    negative(authority, zone, Rcode::NoError, 0, out)
}

/// The addresses of the best regions, best first.
fn lead(
    zones: &Zones,
    qtype: Rtype,
    name: &[u8],
    steered: &SteeredName,
    best: &Steered,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    let chosen = || {
        let addresses = best
            .regions
            .iter()
            .filter_map(|region| zones.addresses.get(region.get()));
        addresses.take(steered.answers)
    };
    let mut answer = |data: &[u8]| {
        out.record(Section::Answer, name, qtype, steered.ttl, |out| {
            out.put(data)
        })
    };
    match qtype {
        Rtype::A => chosen()
            .flat_map(|region| &region.v4)
            .try_for_each(|v4| answer(&v4.octets())),
        Rtype::AAAA => chosen()
            .flat_map(|region| &region.v6)
            .try_for_each(|v6| answer(&v6.octets())),
        _ if steered.alpn.is_empty() => Ok(()),
        // Priority 1, the name itself, then parameters in the order of their numbers (RFC 9460 2.2).
        _ => out.record(Section::Answer, name, qtype, steered.ttl, |out| {
            out.put(&[0, 1, 0])?;
            parameter(out, 1, |out| out.put(&steered.alpn))?;
            parameter(out, 4, |out| {
                chosen()
                    .flat_map(|region| &region.v4)
                    .try_for_each(|v4| out.put(&v4.octets()))
            })?;
            parameter(out, 6, |out| {
                chosen()
                    .flat_map(|region| &region.v6)
                    .try_for_each(|v6| out.put(&v6.octets()))
            })
        }),
    }
}

/// A parameter of an HTTPS record, left out where it is empty.
fn parameter(
    out: &mut Writer<'_>,
    key: u16,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    let before = out.mark();
    out.put(&key.to_be_bytes())?;
    if out.data(write)? == 0 {
        out.rewind(before);
    }
    Ok(())
}

/// The first label of names at which certificate authorities look (RFC 8555 section 8.4).
const CHALLENGE: &[u8] = b"\x0f_acme-challenge";

/// TXT values of certificate authorities. Their names exist while they stand, whatever is asked for.
fn challenge(
    authority: &Authority<'_>,
    zone: &Zone,
    name: &[u8],
    qtype: Rtype,
    out: &mut Writer<'_>,
) -> Result<Option<Outcome>, Full> {
    let challenges = authority.challenges.filter(|_| name.starts_with(CHALLENGE));
    let values = challenges.map_or_else(Vec::new, |challenges| {
        challenges.lookup(&host_of(name), authority.now)
    });
    for value in values.iter().filter(|_| qtype == Rtype::TXT) {
        out.record(Section::Answer, name, qtype, 0, |out| {
            out.put(&[u8::try_from(value.len()).map_err(|_| Full)?])?;
            out.put(value.as_bytes())
        })?;
    }
    match (!values.is_empty(), qtype) {
        (false, _) => Ok(None),
        (true, Rtype::TXT) => Ok(Some(Outcome::found())),
        (true, _) if matches!(zone.find(name), Found::Node(_)) => Ok(None),
        (true, _) => negative(authority, zone, Rcode::NoError, 0, out).map(Some),
    }
}

/// One record instead of all (RFC 8482 4.2), which nobody can be flooded with.
fn minimal_any(name: &[u8], out: &mut Writer<'_>) -> Result<Outcome, Full> {
    out.record(Section::Answer, name, Rtype::HINFO, 3600, |out| {
        out.put(b"\x07RFC8482\x00")
    })?;
    Ok(Outcome::found())
}

/// The name, or the type at it, does not exist (RFC 2308 2 and 3).
fn negative(
    authority: &Authority<'_>,
    zone: &Zone,
    rcode: Rcode,
    needed: u8,
    out: &mut Writer<'_>,
) -> Result<Outcome, Full> {
    soa(
        authority,
        zone,
        Section::Authority,
        zone.soa.ttl.min(zone.soa.minimum),
        out,
    )?;
    let kind = Kind::Nothing;
    Ok(Outcome {
        rcode,
        kind,
        needed,
        ..Outcome::found()
    })
}

fn referral(
    zone: &Zone,
    owner: &[u8],
    servers: &RecordSet,
    out: &mut Writer<'_>,
) -> Result<Outcome, Full> {
    records(out, Section::Authority, owner, servers)?;
    glue(zone, servers, out);
    Ok(Outcome {
        flags: 0,
        ..Outcome::found()
    })
}

fn soa(
    authority: &Authority<'_>,
    zone: &Zone,
    section: Section,
    ttl: u32,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    let soa = &zone.soa;
    out.record(section, &zone.apex, Rtype::SOA, ttl, |out| {
        out.name(&soa.primary)?;
        out.name(&soa.mailbox)?;
        let numbers = [
            authority.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum,
        ];
        numbers
            .iter()
            .try_for_each(|number| out.put(&number.to_be_bytes()))
    })
}

fn records(
    out: &mut Writer<'_>,
    section: Section,
    owner: &[u8],
    set: &RecordSet,
) -> Result<(), Full> {
    set.data
        .iter()
        .try_for_each(|data| out.record(section, owner, set.rtype, set.ttl, |out| out.put(data)))
}

/// Addresses of name servers that lie in the zone. They help, so what does not fit is left out.
fn glue(zone: &Zone, servers: &RecordSet, out: &mut Writer<'_>) {
    for name in &servers.data {
        let Some(node) = zone.node(name) else {
            continue;
        };
        for rtype in [Rtype::A, Rtype::AAAA] {
            let before = out.mark();
            let Some(set) = node.set(rtype) else {
                continue;
            };
            if records(out, Section::Additional, name, set).is_err() {
                out.rewind(before);
                return;
            }
        }
    }
}

impl Outcome {
    fn found() -> Self {
        Self {
            rcode: Rcode::NoError,
            kind: Kind::Answer,
            flags: AUTHORITATIVE,
            region: None,
            needed: 0,
        }
    }

    fn code(rcode: Rcode) -> Self {
        Self {
            rcode,
            kind: Kind::Error,
            flags: 0,
            ..Self::found()
        }
    }
}

#[cfg(test)]
mod tests;
