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

/// The part of the interval after which a failure is looked at again, as a divisor.
const CONFIRM: u32 = 4;

/// Checks region `index` until the drain ends.
pub(crate) async fn run(edge: Arc<Edge>, index: RegionIndex, drain: Drain) {
    let pause = edge.health_check.interval;
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        look(&edge, index).await;
        // A first failure is looked at again soon: certainty should not wait for the next turn.
        if edge.regions.of(index).health().is_in_doubt() {
            ticks.reset_after(pause / CONFIRM);
        }
    }
}

/// One check.
pub(crate) async fn look(edge: &Edge, index: RegionIndex) {
    let answer = mesh::exchange(edge, index).await;
    take_in(edge, index, answer, Instant::now());
}

/// What an exchange with region `index` means.
fn take_in(
    edge: &Edge,
    index: RegionIndex,
    answer: Result<mesh::Answer, Observation>,
    now: Instant,
) {
    let region = edge.regions.of(index);
    let observation = match answer {
        Ok(answer) => {
            let record = &answer.record.record;
            let own = record.shares.get(edge.regions.own().name.as_str());
            edge.hearsay.hear(index, own.copied(), now);
            if record.draining {
                Observation::Draining
            } else {
                Observation::Answered(answer.rtt)
            }
        }
        Err(observation) => {
            edge.hearsay.hear(index, None, now);
            observation
        }
    };
    region.observe(observation, now, &edge.health_policy);
    if edge
        .world
        .look_at_responses(index, region.traffic.counts(), now)
    {
        edge.metrics.region_ejected(region);
        tracing::warn!(region = %region.name, "most requests that were carried to a region failed; it is ejected for a while");
    }
    let before = edge.condition(index, now);
    edge.review(now);
    let after = edge.condition(index, now);
    if before != after {
        let (before, after) = (before.as_str(), after.as_str());
        tracing::info!(region = %region.name, before, condition = after, "a region's condition has changed");
    }
}
