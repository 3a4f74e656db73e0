//! Puts zones together, and refuses what cannot stand in one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use domain::base::Name;
use domain::base::iana::Rtype;

use super::{Node, RecordSet, RegionAddresses, Soa, SteeredName, Zone, Zones, label_starts};
use crate::region::MAX_REGIONS;

/// Why a zone cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not a domain name.
    #[error("{0:?} is no domain name")]
    Name(String),
    /// A name lies elsewhere.
    #[error("{name:?} is not in zone {zone:?}")]
    Outside {
        /// The name.
        name: String,
        /// The zone.
        zone: String,
    },
    /// A name has an alias and something else, which RFC 1034 3.6.2 forbids.
    #[error("{0:?} is an alias (CNAME), so nothing else can stand there")]
    AliasBesideData(String),
    /// A name has two aliases.
    #[error("{0:?} has more than one CNAME")]
    TwoAliases(String),
    /// A name leads to regions and has addresses of its own.
    #[error("{0:?} is steered, so its {1} records come from the regions")]
    SteeredBesideData(String, String),
    /// The zone's own name servers are written as records.
    #[error("the name servers of the zone itself stand under name_servers")]
    NameServerRecord,
    /// The records of one type at one name must be kept for the same time (RFC 2181 5.2).
    #[error("the {1} records of {0:?} have different TTLs")]
    DifferentTtl(String, String),
    /// Nobody can be asked.
    #[error("a zone needs a name server")]
    NoNameServer,
    /// Nobody knows where a name server is.
    #[error(
        "{0:?} lies in the zone itself, so it needs an address: its own, or those of its region"
    )]
    NoGlue(String),
}

/// One record: its owner, its type, its TTL in seconds and its data on the wire.
pub type ZoneRecord = (Box<[u8]>, Rtype, u32, Box<[u8]>);

/// A name server of a zone.
#[derive(Clone, Debug)]
pub struct NameServer {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its addresses, which the parent zone must repeat.
    pub addresses: Vec<IpAddr>,
}

/// A name in wire format and lower case. Without a dot at its end it is relative to `origin`, where there is
/// one; `@` is the origin itself.
pub fn wire_name(text: &str, origin: Option<&[u8]>) -> Result<Box<[u8]>, ZoneError> {
    let wrong = || ZoneError::Name(text.to_owned());
    if text == "@" {
        return origin.map(Into::into).ok_or_else(wrong);
    }
    let name = Name::vec_from_str(text).map_err(|_| wrong())?;
    let mut wire = name.into_octets();
    if let Some(origin) = origin.filter(|_| !text.ends_with('.')) {
        wire.pop();
        wire.extend_from_slice(origin);
    }
    wire.make_ascii_lowercase();
    let checked = Name::from_octets(wire).map_err(|_| wrong())?;
    Ok(checked.into_octets().into())
}

/// A name for people.
pub(super) fn text(name: &[u8]) -> String {
    Name::from_slice(name).map_or_else(|_| "?".into(), ToString::to_string)
}

impl Zones {
    /// Zones of regions with these addresses, by region index.
    pub fn new(mut zones: Vec<Zone>, addresses: Vec<RegionAddresses>) -> Self {
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.apex.len()));
        let mut available = [false; MAX_REGIONS];
        for (available, addresses) in available.iter_mut().zip(&addresses) {
            *available = !addresses.v4.is_empty() || !addresses.v6.is_empty();
        }
        Self {
            zones,
            addresses,
            available,
        }
    }
}

impl Zone {
    /// Checks and builds a zone. Records are owner, type, TTL in seconds and data.
    pub fn new(
        apex: &[u8],
        soa: Soa,
        name_servers: &[NameServer],
        steered: Vec<(Box<[u8]>, SteeredName)>,
        records: Vec<ZoneRecord>,
    ) -> Result<Self, ZoneError> {
        let mut nodes: BTreeMap<Box<[u8]>, Node> = BTreeMap::new();
        let inside = |name: &[u8]| {
            let at = name.len().checked_sub(apex.len());
            at.is_some_and(|at| name[at..] == *apex && label_starts(name).contains(&at))
        };
        if name_servers.is_empty() {
            return Err(ZoneError::NoNameServer);
        }
        let (mut all, ttl) = (Vec::new(), soa.ttl);
        for server in name_servers {
            all.push((apex.into(), Rtype::NS, ttl, server.name.clone()));
            if !inside(&server.name) {
                continue;
            }
            if server.addresses.is_empty() {
                return Err(ZoneError::NoGlue(text(&server.name)));
            }
            for address in &server.addresses {
                let (rtype, data): (_, Box<[u8]>) = match address {
                    IpAddr::V4(v4) => (Rtype::A, v4.octets().into()),
                    IpAddr::V6(v6) => (Rtype::AAAA, v6.octets().into()),
                };
                all.push((server.name.clone(), rtype, ttl, data));
            }
        }
        if records
            .iter()
            .any(|(owner, rtype, ..)| **owner == *apex && *rtype == Rtype::NS)
        {
            return Err(ZoneError::NameServerRecord);
        }
        all.extend(records);
        for (owner, rtype, ttl, data) in all {
            if !inside(&owner) {
                return Err(ZoneError::Outside {
                    name: text(&owner),
                    zone: text(apex),
                });
            }
            let node = nodes.entry(owner.clone()).or_default();
            match node.sets.iter_mut().find(|set| set.rtype == rtype) {
                Some(set) if set.ttl != ttl => {
                    return Err(ZoneError::DifferentTtl(text(&owner), rtype.to_string()));
                }
                Some(set) if set.data.contains(&data) => {}
                Some(set) => set.data.push(data),
                None => node.sets.push(RecordSet {
                    rtype,
                    ttl,
                    data: vec![data],
                }),
            }
        }
        for (owner, steered) in steered {
            if !inside(&owner) {
                return Err(ZoneError::Outside {
                    name: text(&owner),
                    zone: text(apex),
                });
            }
            nodes.entry(owner).or_default().steered = Some(steered);
        }
        for (owner, node) in &nodes {
            check(owner, node, **owner == *apex)?;
        }
        // A name with names below it exists (RFC 8020), so it must not be answered with NXDOMAIN.
        let between: Vec<Box<[u8]>> = (nodes.keys())
            .flat_map(|name| {
                label_starts(name)
                    .into_iter()
                    .map(move |at| Box::<[u8]>::from(&name[at..]))
            })
            .filter(|name| inside(name))
            .collect();
        for name in between {
            nodes.entry(name).or_default();
        }
        let labels = |name: &[u8]| label_starts(name).len() - 1;
        Ok(Self {
            apex: apex.into(),
            soa,
            max_labels: nodes.keys().map(|name| labels(name)).max().unwrap_or(0),
            nodes: nodes.into_iter().collect::<HashMap<_, _>>(),
        })
    }
}

fn check(owner: &[u8], node: &Node, is_apex: bool) -> Result<(), ZoneError> {
    if let Some(alias) = node.set(Rtype::CNAME) {
        if alias.data.len() > 1 {
            return Err(ZoneError::TwoAliases(text(owner)));
        }
        if node.sets.len() > 1 || node.steered.is_some() || is_apex {
            return Err(ZoneError::AliasBesideData(text(owner)));
        }
    }
    if let Some(steered) = &node.steered {
        let own = [Rtype::A, Rtype::AAAA, Rtype::HTTPS];
        let own = own
            .into_iter()
            .filter(|rtype| *rtype != Rtype::HTTPS || !steered.alpn.is_empty());
        if let Some(rtype) = own.into_iter().find(|rtype| node.set(*rtype).is_some()) {
            return Err(ZoneError::SteeredBesideData(text(owner), rtype.to_string()));
        }
    }
    Ok(())
}
