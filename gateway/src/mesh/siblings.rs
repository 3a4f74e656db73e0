//! Exchanges with the other gateways of our own region, so that each knows what all know. Nobody leads:
//! each asks each, and a region's records are those of all its gateways.

use std::net::SocketAddr;
use std::sync::Arc;

use http::uri::{Authority, Scheme};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::exchange::ask_at;
use super::state::MAX_INSTANCES;
use crate::gateway::Edge;
use crate::region::Address;

/// Exchanges with every address of every name in `names`, `host:port` each, until the drain ends. Names
/// are looked up each time: behind a headless Service they change with every rollout.
pub(crate) async fn run(edge: Arc<Edge>, names: Vec<String>) {
    let mut ticks = interval(edge.health_check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = edge.drain.started() => return,
        }
        let mut addresses = Vec::new();
        for name in &names {
            if let Ok(found) = tokio::net::lookup_host(name).await {
                addresses.extend(found);
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_INSTANCES);
        let asked = addresses.into_iter().map(|address| ask(&edge, address));
        futures_util::future::join_all(asked).await;
    }
}

async fn ask(edge: &Edge, address: SocketAddr) {
    let Ok(authority) = address.to_string().parse::<Authority>() else {
        return;
    };
    let address = Address {
        scheme: Scheme::HTTPS,
        authority,
    };
    let (link, own) = (edge.mesh.own(), edge.regions.own_index());
    let asked = ask_at(edge, link, &address, own);
    match timeout(edge.health_check.timeout, asked).await {
        Ok(Ok(())) => {}
        // Ourselves, who have nothing new to say, or one that is starting or gone: normal in rollouts.
        Ok(Err(error)) => tracing::debug!(%error, "a gateway of our region was not heard"),
        Err(_) => tracing::debug!("a gateway of our region did not answer in time"),
    }
}
