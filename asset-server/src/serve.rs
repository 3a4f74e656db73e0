//! The asset server as a server of its own: listeners for clients, and the private one.

use std::time::Instant;

use http::header::HeaderName;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use prometheus::Registry;
use serving::admin::Finding;
use serving::drain::Drain;
use serving::listener::{Listener, Metrics, Peer};
use tokio::net::TcpListener;
use tower_service::Service as _;

use crate::config::Standalone;
use crate::delivery::ClientAddress;
use crate::respond::body::AssetBody;
use crate::server::{AssetServer, request_body};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_EDGE_REGION: HeaderName = HeaderName::from_static("x-edge-region");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Begins to accept on bound sockets, until `drain` begins. `sockets` are those of
/// `config.listeners`, in their order.
pub fn serve(
    config: Standalone,
    server: &AssetServer,
    registry: &Registry,
    sockets: Vec<TcpListener>,
    admin: TcpListener,
    drain: &Drain,
) -> prometheus::Result<()> {
    let metrics_of = Metrics::register(registry, "asset_server")?;
    let region = HeaderValue::try_from(config.assets.region.as_str())
        .unwrap_or(HeaderValue::from_static("local"));
    for (socket, listener) in sockets.into_iter().zip(config.listeners) {
        // What was bound, not what was asked for: port 0 becomes a real one.
        let address = socket.local_addr().unwrap_or(listener.address);
        let name = listener.address.to_string();
        let (server, region) = (server.clone(), region.clone());
        let respond = move |peer, request| respond(server.clone(), region.clone(), peer, request);
        let listener = Listener::new(socket, metrics_of(&name)).with_tls(listener.tls);
        tokio::spawn(listener.serve(respond, drain.clone()));
        tracing::info!(%address, "serving");
    }
    let router = serving::admin::router(registry.clone(), drain.clone(), readiness(server.clone()))
        .merge(server.stats_router())
        .merge(serving::admin::require_token(
            server.purge_router(),
            config.admin.token,
        ));
    let answer = move |_, request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    let address = admin.local_addr().unwrap_or(config.admin.address);
    tokio::spawn(Listener::new(admin, metrics_of("admin")).serve(answer, drain.clone()));
    tracing::info!(listener = "admin", %address, "serving");
    Ok(())
}

/// An origin that went away does not make the server unready: what is cached is served. One that never
/// answered has filled no cache, and is most likely written wrong; unless another origin of its mount
/// is well.
fn readiness(server: AssetServer) -> impl Fn() -> Vec<Finding> + Send + Sync {
    move || {
        let unwell = server.origins().into_iter().filter(|origin| !origin.ok);
        unwell
            .map(|origin| Finding {
                what: format!("origin {}", origin.name),
                why: origin.error.unwrap_or_default(),
                blocking: origin.blocking,
            })
            .collect()
    }
}

async fn respond(
    server: AssetServer,
    region: HeaderValue,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Response<AssetBody> {
    let started = Instant::now();
    let id = match request.headers().get(X_REQUEST_ID) {
        Some(id) => id.clone(),
        None => {
            let id = HeaderValue::try_from(format!("{:032x}", fastrand::u128(..)));
            let id = id.unwrap_or(HeaderValue::from_static("-"));
            request.headers_mut().insert(X_REQUEST_ID, id.clone());
            id
        }
    };
    if server.asks_for_client() {
        let client = ClientAddress(peer.address.ip());
        request.extensions_mut().insert(client);
    }
    let (parts, body) = request.into_parts();
    let mut response = server.respond(&parts, || request_body(body)).await;
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id);
    headers.insert(X_EDGE_REGION, region);
    let timing = format!("cache;dur={:.1}", started.elapsed().as_secs_f64() * 1000.0);
    if let Ok(timing) = HeaderValue::try_from(timing) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}
