//! What this gateway says of itself. Each part that shares state fills its own field here.

use std::time::Instant;

use super::record::Record;
use crate::gateway::Edge;

/// The next record of this gateway.
pub fn own_record(edge: &Edge) -> Record {
    let now = Instant::now();
    let shares = edge.regions.iter().map(|(_, region)| {
        (
            region.name.to_string(),
            region.health().share(now, &edge.health_policy),
        )
    });
    Record {
        region: edge.regions.own().name.to_string(),
        instance: edge.state.instance.id(),
        version: edge.state.instance.next_version(),
        draining: edge.drain.has_started(),
        shares: shares.collect(),
        rtts: edge.mesh.rtts(&edge.regions).collect(),
    }
}
