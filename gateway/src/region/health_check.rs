//! The loop that asks another region how it is, and hears from it how we are.
//!
//! The answer to a check lists the share of its users that each region gets in the answerer's eyes. What
//! the others say about *us* slows our own start after they have seen us down: coming back is gradual
//! for users who enter here, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use serving::drain::Drain;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Observation, RegionIndex};
use crate::forward::RequestBody;
use crate::gateway::Edge;
use crate::mesh::Record;

/// Where a region answers health checks of other regions.
pub(crate) const PATH: &str = "/.well-known/edge/health";

/// The part of the interval after which a failure is looked at again, as a divisor.
const CONFIRM: u32 = 4;

/// Longest answer that is read, in bytes.
const MAX_RECORD: usize = 64 << 10;

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
    let started = Instant::now();
    let answer = timeout(edge.health_check.timeout, ask(edge, index)).await;
    let answer = answer.unwrap_or(Err(Observation::Failed));
    take_in(
        edge,
        index,
        answer.map(|record| (record, started.elapsed())),
        Instant::now(),
    );
}

/// What an exchange with region `index` means: its record and the round trip, or what was seen instead.
pub(crate) fn take_in(
    edge: &Edge,
    index: RegionIndex,
    answer: Result<(Record, Duration), Observation>,
    now: Instant,
) {
    let region = edge.regions.of(index);
    let observation = match answer {
        Ok((record, rtt)) => {
            let own = record.shares.get(edge.regions.own().name.as_str());
            edge.hearsay.hear(index, own.copied(), now);
            let draining = record.draining;
            edge.learning.hear(index, &record);
            edge.state.hear(index, record, now);
            if draining {
                Observation::Draining
            } else {
                Observation::Answered(rtt)
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

async fn ask(edge: &Edge, index: RegionIndex) -> Result<Record, Observation> {
    let region = edge.regions.of(index);
    let address = region.address.as_ref().ok_or(Observation::Failed)?;
    let uri = Uri::builder()
        .scheme(address.scheme.clone())
        .authority(address.authority.clone())
        .path_and_query(PATH)
        .build()
        .map_err(|_| Observation::Failed)?;
    let request = Request::get(uri)
        .body(RequestBody::Empty)
        .map_err(|_| Observation::Failed)?;
    let response = edge.mesh.http2.request(request).await;
    let response = response.map_err(|error| {
        if error.is_connect() {
            Observation::Unreachable
        } else {
            Observation::Failed
        }
    })?;
    if response.status() != StatusCode::OK {
        return Err(Observation::Failed);
    }
    let body = Limited::new(response.into_body(), MAX_RECORD)
        .collect()
        .await
        .map_err(|_| Observation::Failed)?;
    let record: Record =
        serde_json::from_slice(&body.to_bytes()).map_err(|_| Observation::Failed)?;
    // Another region behind this address is a mistake that must not look like health.
    if record.region == region.name.as_str() {
        Ok(record)
    } else {
        Err(Observation::Failed)
    }
}
