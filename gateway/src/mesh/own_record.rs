//! What this gateway says of itself. Each part that shares state fills its own field here.

use std::time::Instant;

use super::record::Record;
use crate::gateway::Edge;

/// The next record of this gateway.
pub fn own_record(edge: &Edge) -> Record {
    let now = Instant::now();
    let shares = edge.regions.peers().map(|(index, region)| {
        // The world's word, not ours: what only we cannot reach should not give up its users for us.
        let share = edge.standing_for_world(index, true, now).share;
        (region.name.to_string(), share)
    });
    Record {
        region: edge.regions.own().name.to_string(),
        instance: edge.state.instance.id(),
        version: edge.state.instance.next_version(),
        draining: edge.drain.has_started(),
        shares: shares.collect(),
        rtts: edge.mesh.rtts(&edge.regions).collect(),
        round_trips: edge.learning.told(),
        load: edge.load.load().as_ref().clone(),
        drain_orders: edge.drains.orders(),
        health: edge.world.word(&edge.regions, now),
    }
}
