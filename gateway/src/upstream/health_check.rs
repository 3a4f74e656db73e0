//! The loop that asks each endpoint of an upstream whether it is well.

use std::sync::Arc;

use http::{Request, Uri};
use serving::drain::Drain;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Endpoint, HealthCheck, Upstream};
use crate::forward::RequestBody;

/// Checks until the drain begins or nobody routes to the upstream any more.
pub(crate) async fn run(upstream: std::sync::Weak<Upstream>, drain: Drain) {
    let Some(check) = upstream
        .upgrade()
        .and_then(|upstream| upstream.health_check.clone())
    else {
        return;
    };
    let mut ticks = interval(check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        let checks = upstream
            .endpoints
            .iter()
            .map(|endpoint| look(&upstream, endpoint, &check));
        futures_util::future::join_all(checks).await;
    }
}

async fn look(upstream: &Upstream, endpoint: &Arc<Endpoint>, check: &HealthCheck) {
    let down = !is_well(upstream, endpoint, check).await;
    if endpoint.set_down(down) {
        let (upstream, endpoint) = (&upstream.name, &endpoint.authority);
        if down {
            tracing::warn!(%upstream, %endpoint, "endpoint is down: its health check failed");
        } else {
            tracing::info!(%upstream, %endpoint, "endpoint is up");
        }
    }
}

async fn is_well(upstream: &Upstream, endpoint: &Endpoint, check: &HealthCheck) -> bool {
    let uri = Uri::builder()
        .scheme(endpoint.scheme.clone())
        .authority(endpoint.authority.clone())
        .path_and_query(&*check.path)
        .build();
    let Ok(request) = uri.and_then(|uri| Request::get(uri).body(RequestBody::Empty)) else {
        return false;
    };
    let answer = timeout(check.timeout, upstream.client.request(request)).await;
    matches!(answer, Ok(Ok(response)) if response.status().is_success())
}
