//! The cache's part of the private listener.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::cache::purge::{Purge, PurgeReport};
use crate::server::AssetServer;

/// What may be asked by anyone who reaches the listener.
pub(crate) fn reads(server: AssetServer) -> Router {
    Router::new()
        .route("/api/v1/cache", get(cache))
        .with_state(server)
}

/// What changes state.
pub(crate) fn changes(server: AssetServer) -> Router {
    Router::new()
        .route("/api/v1/purge", post(purge))
        .with_state(server)
}

/// What the tiers hold and how the origins are.
async fn cache(State(server): State<AssetServer>) -> Json<Value> {
    let usage = server.usage();
    let tier = |(objects, bytes): (u64, u64)| json!({"objects": objects, "bytes": bytes});
    Json(json!({
        "memory": tier(usage.memory),
        "disk": usage.disk.map(tier),
        "origins": server.origins(),
    }))
}

/// `{"key": "/assets/a"}` or `{"prefix": "/assets/"}`.
async fn purge(State(server): State<AssetServer>, Json(what): Json<Purge>) -> Json<PurgeReport> {
    Json(server.purge(&what).await)
}
