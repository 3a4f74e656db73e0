//! What works here: whether assets can be fetched and upstreams be reached. Told to the other regions
//! with every record, so that they send here only what will be answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serving::drain::Drain;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Capabilities;
use crate::gateway::{Assets, Edge};
use crate::upstream::Upstream;

/// Time that a connection to an endpoint may take which failed before and which nobody checks.
const CONNECT: Duration = Duration::from_secs(1);

/// Looks in a row that must find every origin failing: one request that fails is no outage, and what is
/// cached is served meanwhile.
const ORIGINS_FAIL: u32 = 3;

/// Looks at itself until the drain begins.
pub(crate) async fn run(edge: Arc<Edge>, drain: Drain) {
    let mut ticks = interval(edge.health_check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        look(&edge, &mut failing).await;
    }
}

/// One look, and the judgement that follows. `failing` counts looks in a row without any origin.
async fn look(edge: &Edge, failing: &mut u32) {
    let settings = edge.settings.load_full();
    for upstream in &settings.upstreams {
        try_again(upstream).await;
    }
    edge.world.set_own_capabilities(own(edge, failing));
    edge.review(Instant::now());
}

/// What works here now.
fn own(edge: &Edge, failing: &mut u32) -> Capabilities {
    let assets = match &edge.assets {
        None => true,
        Some(Assets::Remote(servers)) => servers.is_reachable(),
        Some(Assets::Embedded(server)) => {
            let origins = server.origins();
            let all_fail = !origins.is_empty() && origins.iter().all(|origin| !origin.ok);
            *failing = if all_fail {
                failing.saturating_add(1)
            } else {
                0
            };
            !origins.iter().any(|origin| origin.blocking) && *failing < ORIGINS_FAIL
        }
    };
    let settings = edge.settings.load();
    let upstreams = settings
        .upstreams
        .iter()
        .filter(|upstream| !upstream.endpoints.is_empty())
        .map(|upstream| (upstream.name.to_string(), upstream.is_reachable()));
    Capabilities {
        assets,
        upstreams: upstreams.collect(),
    }
}

/// Requests no longer come here for an upstream that cannot be reached. Where no health check asks
/// whether it is back, this does.
async fn try_again(upstream: &Upstream) {
    if upstream.health_check.is_some() {
        return;
    }
    let again = upstream
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_down())
        .map(|endpoint| async move {
            let port = endpoint.authority.port_u16();
            let port = port.unwrap_or(if endpoint.scheme == http::uri::Scheme::HTTPS {
                443
            } else {
                80
            });
            let host = endpoint.authority.host().trim_matches(['[', ']']);
            let stream = timeout(CONNECT, TcpStream::connect((host, port))).await;
            if matches!(stream, Ok(Ok(_))) {
                endpoint.set_down(false);
            }
        });
    futures_util::future::join_all(again).await;
}
