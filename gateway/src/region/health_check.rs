//! The loop that asks another region how it is, and hears from it how we are.
//!
//! The answer to a check lists the share of its users that each region gets in the answerer's eyes. What
//! the others say about *us* slows our own start after they have seen us down: coming back is gradual
//! for users who enter here, too.

use std::sync::Arc;
use std::time::Instant;

use serving::drain::Drain;
use tokio::time::{MissedTickBehavior, interval};

use super::{Observation, RegionIndex};
use crate::gateway::Edge;
use crate::mesh;

/// Where gateways of the version before answer each other.
pub(crate) const PATH: &str = "/.well-known/edge/health";

/// Checks region `index` until the drain ends.
pub(crate) async fn run(edge: Arc<Edge>, index: RegionIndex, drain: Drain) {
    let policy = &edge.health_check;
    let mut ticks = interval(policy.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        look(&edge, index).await;
    }
}

/// One check.
pub(crate) async fn look(edge: &Edge, index: RegionIndex) {
    let region = edge.regions.of(index);
    let observation = match mesh::exchange(edge, index).await {
        Some(answer) => {
            let record = &answer.record.record;
            let own = record.shares.get(edge.regions.own().name.as_str());
            edge.hearsay.hear(index, own.copied(), Instant::now());
            if record.draining {
                Observation::Draining
            } else {
                Observation::Answered(answer.rtt)
            }
        }
        None => {
            edge.hearsay.hear(index, None, Instant::now());
            Observation::Failed
        }
    };
    if let Some(health) = region.observe(observation, Instant::now(), &edge.health_policy) {
        tracing::info!(region = %region.name, status = health.status.as_str(), "a region's status has changed");
    }
    edge.metrics
        .region(region, &edge.health_policy, Instant::now());
}
