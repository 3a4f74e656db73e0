//! The best regions for a client's address, and how much of the address that depends on: the bridge from DNS to
//! the steering that HTTP uses.

use std::net::IpAddr;
use std::time::Instant;

use arrayvec::ArrayVec;

use crate::gateway::Edge;
use crate::region::{MAX_REGIONS, RegionIndex};

/// Bits of an address that decide which part of a region's users it belongs to: those of
/// [`spread`](crate::steering::spread).
const SPREAD_BITS: (u8, u8) = (24, 48);

/// Regions for one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// Those that can be used, best first. Never empty while any region has an address.
    pub regions: ArrayVec<RegionIndex, MAX_REGIONS>,
    /// Every address that shares so many bits gets the same answer now.
    pub needed: u8,
}

/// Ranks the regions that have addresses (`available`, by region index) for a client.
pub fn steered(
    edge: &Edge,
    available: &[bool; MAX_REGIONS],
    client: IpAddr,
    now: Instant,
) -> Steered {
    let client = client.to_canonical();
    let decision = edge.steer_among(client, available, now);
    let mut regions: ArrayVec<RegionIndex, MAX_REGIONS> =
        decision.usable().map(|place| place.region).collect();
    // Over HTTP a gateway that drains still answers what has come to it. Nobody new is sent to it.
    let own = edge.regions.own_index();
    if edge.drain.has_started() && regions.len() > 1 {
        regions.retain(|region| *region != own);
    }
    Steered {
        regions,
        needed: needed_bits(edge, available, client, now),
    }
}

/// How many bits of the client's address the ranking depends on: those of its place, and where a region gets a
/// part of its users, those that say who belongs to the part. Whatever else makes the ranking depend on the
/// address, such as round trips measured for its prefix, must raise this number to the length of that prefix.
fn needed_bits(edge: &Edge, available: &[bool; MAX_REGIONS], client: IpAddr, now: Instant) -> u8 {
    let (_, place) = edge.geo.lookup_with_prefix(client);
    let gets_a_part =
        |index: RegionIndex| available[index.get()] && edge.standing(index, true, now).share < 1.0;
    let spread = match client {
        _ if !edge.regions.iter().any(|(index, _)| gets_a_part(index)) => 0,
        IpAddr::V4(_) => SPREAD_BITS.0,
        IpAddr::V6(_) => SPREAD_BITS.1,
    };
    place.max(spread)
}
