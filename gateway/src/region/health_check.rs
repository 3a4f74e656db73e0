//! The loop that asks another region how it is, and hears from it how we are.
//!
//! The answer to a check lists the share of its users that each region gets in the answerer's eyes. What
//! the others say about *us* slows our own start after they have seen us down: coming back is gradual
//! for users who enter here, too.

use std::sync::Arc;
use std::time::Instant;

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

/// Longest answer that is read, in bytes.
const MAX_RECORD: usize = 64 << 10;

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
    let started = Instant::now();
    let record = timeout(edge.health_check.timeout, ask(edge, index)).await;
    let observation = match record {
        Ok(Some(record)) => {
            let own = record.shares.get(edge.regions.own().name.as_str());
            edge.hearsay.hear(index, own.copied(), Instant::now());
            let draining = record.draining;
            edge.learning.hear(index, &record);
            edge.state.hear(index, record, Instant::now());
            if draining {
                Observation::Draining
            } else {
                Observation::Answered(started.elapsed())
            }
        }
        Ok(None) | Err(_) => {
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

async fn ask(edge: &Edge, index: RegionIndex) -> Option<Record> {
    let region = edge.regions.of(index);
    let address = region.address.as_ref()?;
    let uri = Uri::builder()
        .scheme(address.scheme.clone())
        .authority(address.authority.clone())
        .path_and_query(PATH)
        .build()
        .ok()?;
    let request = Request::get(uri).body(RequestBody::Empty).ok()?;
    let response = edge.mesh.http2.request(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let body = Limited::new(response.into_body(), MAX_RECORD)
        .collect()
        .await
        .ok()?;
    let record: Record = serde_json::from_slice(&body.to_bytes()).ok()?;
    // Another region behind this address is a mistake that must not look like health.
    (record.region == region.name.as_str()).then_some(record)
}
