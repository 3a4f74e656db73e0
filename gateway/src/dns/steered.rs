//! The best regions for a client's address, and how much of the address that depends on: the bridge from DNS to
//! the steering that HTTP uses.

use std::net::IpAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use ipnet::IpNet;

use super::host::host_of;
use crate::gateway::Edge;
use crate::region::{MAX_REGIONS, RegionIndex};
use crate::route::Rules;

/// Bits of a client's network, IPv4 and IPv6: what [`spread`](crate::steering::spread) and learnt round
/// trips go by.
const NETWORK_BITS: (u8, u8) = (24, 48);

/// Regions for one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// Those that can be used, best first. Never empty while any region has an address.
    pub regions: ArrayVec<RegionIndex, MAX_REGIONS>,
    /// Every address that shares so many bits gets the same answer now.
    pub needed: u8,
}

/// Ranks the regions that have addresses (`available`, by region index) for a client of `name`, which is in
/// wire format.
pub fn steered(
    edge: &Edge,
    available: &[bool; MAX_REGIONS],
    name: &[u8],
    client: IpAddr,
    now: Instant,
) -> Steered {
    let client = client.to_canonical();
    let settings = edge.settings.load();
    let rules = Rules {
        available: *available,
        ..settings.rules_of_name(&host_of(name))
    };
    let decision = edge.steer_answer(client, &rules, now);
    let mut regions: ArrayVec<RegionIndex, MAX_REGIONS> =
        decision.usable().map(|place| place.region).collect();
    // Over HTTP a gateway that drains still answers what has come to it. Nobody new is sent to it.
    let own = edge.regions.own_index();
    if edge.drain.has_started() && regions.len() > 1 {
        regions.retain(|region| *region != own);
    }
    Steered {
        regions,
        needed: needed_bits(edge, client, decision.is_by_network),
    }
}

/// How many bits of the client's address the ranking depends on: those of its place, and where neighbours
/// may be answered otherwise, because one of them was measured or belongs to another part of a region's
/// users, those of its network.
fn needed_bits(edge: &Edge, client: IpAddr, is_by_network: bool) -> u8 {
    let (_, place) = edge.geo.lookup_with_prefix(client);
    let network = match client {
        IpAddr::V4(_) => NETWORK_BITS.0,
        IpAddr::V6(_) => NETWORK_BITS.1,
    };
    let has_measured_neighbours = || {
        let net = IpNet::new(client, place).map(|net| net.trunc());
        net.is_ok_and(|net| edge.learning.snapshot().knows_within(net))
    };
    if is_by_network || has_measured_neighbours() {
        place.max(network)
    } else {
        place
    }
}
