//! What we are asked about: zones with their records, and the names whose answer depends on the client. Built
//! once from the configuration; what cannot stand in a zone is refused then.

mod build;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use domain::base::iana::Rtype;

pub use self::build::{NameServer, ZoneError, ZoneRecord, wire_name};
use crate::region::MAX_REGIONS;

/// All zones that we answer for. Names are in wire format and lower case everywhere.
#[derive(Debug)]
pub struct Zones {
    /// Longest name first, so that the first that fits is the closest.
    zones: Vec<Zone>,
    /// Addresses of the regions, by region index.
    pub addresses: Vec<RegionAddresses>,
    /// Which regions have any.
    pub available: [bool; MAX_REGIONS],
}

/// The addresses at which clients reach a region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionAddresses {
    /// IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6.
    pub v6: Vec<Ipv6Addr>,
}

/// One zone.
#[derive(Debug)]
pub struct Zone {
    /// Its name.
    pub apex: Box<[u8]>,
    /// Its start of authority, without the serial number.
    pub soa: Soa,
    nodes: HashMap<Box<[u8]>, Node>,
    /// Labels of its longest name, the root not counted.
    max_labels: usize,
}

/// The start of authority (RFC 1035 3.3.13); times in seconds.
#[derive(Clone, Debug)]
pub struct Soa {
    /// TTL of the record.
    pub ttl: u32,
    /// The first name server.
    pub primary: Box<[u8]>,
    /// Who is responsible.
    pub mailbox: Box<[u8]>,
    /// For secondaries, of which we have none.
    pub refresh: u32,
    /// The same.
    pub retry: u32,
    /// The same.
    pub expire: u32,
    /// How long resolvers may keep that something does not exist (RFC 2308).
    pub minimum: u32,
}

/// What stands at one name; nothing where it only has names below it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    sets: Vec<RecordSet>,
    /// Set where the answer depends on the client.
    pub steered: Option<SteeredName>,
}

/// All records of one type at one name.
#[derive(Clone, Debug)]
pub struct RecordSet {
    /// The type.
    pub rtype: Rtype,
    /// Seconds for which they may be kept.
    pub ttl: u32,
    /// Their data on the wire.
    pub data: Vec<Box<[u8]>>,
}

/// A name that leads each client to its best regions.
#[derive(Clone, Debug)]
pub struct SteeredName {
    /// Seconds for which an answer may be kept.
    pub ttl: u32,
    /// How many regions an answer has.
    pub answers: usize,
    /// Protocols of the HTTPS record (RFC 9460 7.1) as on the wire; empty means that there is none.
    pub alpn: Box<[u8]>,
}

/// What was found for a name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// It, or a wildcard that stands for it.
    Node(&'a Node),
    /// It lies in another zone, to which these name servers belong.
    Delegation(&'a [u8], &'a RecordSet),
    /// Nothing.
    Missing,
}

impl Node {
    /// The records of a type.
    pub fn set(&self, rtype: Rtype) -> Option<&RecordSet> {
        self.sets.iter().find(|set| set.rtype == rtype)
    }
}

impl Zones {
    /// The closest zone that holds `name`.
    pub fn zone_of(&self, name: &[u8]) -> Option<&Zone> {
        let starts = label_starts(name);
        let holds = |zone: &&Zone| {
            let at = name.len().checked_sub(zone.apex.len());
            at.is_some_and(|at| starts.contains(&at) && name[at..] == *zone.apex)
        };
        self.zones.iter().find(holds)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

impl Zone {
    /// What stands at `name`, which lies in this zone (RFC 1034 4.3.2, RFC 4592). Costs no more than the zone
    /// is deep, however many labels the name has.
    pub fn find<'a>(&'a self, name: &'a [u8]) -> Found<'a> {
        let starts = label_starts(name);
        let apex_at = name.len() - self.apex.len();
        let mut encloser = apex_at;
        let mut node = self.nodes.get(&*self.apex);
        // From the apex downwards: a delegation hides what is below it, and the last name that exists is
        // where a wildcard may stand.
        let below = starts.iter().rev().skip_while(|at| **at >= apex_at);
        for &at in below.take(self.max_labels) {
            let Some(next) = self.nodes.get(&name[at..]) else {
                return self.wildcard(&name[encloser..]);
            };
            if let Some(servers) = next.set(Rtype::NS) {
                return Found::Delegation(&name[at..], servers);
            }
            (encloser, node) = (at, Some(next));
        }
        match node {
            Some(node) if encloser == 0 => Found::Node(node),
            _ => self.wildcard(&name[encloser..]),
        }
    }

    /// The node of a name that exists exactly, for glue.
    pub fn node(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.get(name)
    }

    fn wildcard(&self, encloser: &[u8]) -> Found<'_> {
        let mut name: ArrayVec<u8, 257> = ArrayVec::new();
        let fits = name.try_extend_from_slice(b"\x01*").is_ok()
            && name.try_extend_from_slice(encloser).is_ok();
        match self.nodes.get(name.as_slice()).filter(|_| fits) {
            Some(node) => Found::Node(node),
            None => Found::Missing,
        }
    }
}

/// Where the labels of a name in wire format begin, the root included.
fn label_starts(name: &[u8]) -> ArrayVec<usize, 128> {
    let mut starts = ArrayVec::new();
    let mut at = 0;
    while let Some(&length) = name.get(at) {
        if starts.try_push(at).is_err() || length == 0 {
            break;
        }
        at += 1 + usize::from(length);
    }
    starts
}

#[cfg(test)]
mod tests;
