//! The cache's part of the private listener.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use serving::problem::Problem;
use serving::units;

use crate::cache::purge::Purge;
use crate::metrics::PurgeSource;
use crate::purge_log::answer::PurgeAnswer;
use crate::purge_log::id::PurgeId;
use crate::purge_log::record::MOST_PURGES;
use crate::s3_events;
use crate::server::AssetServer;

/// Longest wait that may be asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What may be asked by anyone who reaches the listener.
pub(crate) fn reads(server: AssetServer) -> Router {
    Router::new()
        .route("/api/v1/cache", get(cache))
        .route("/api/v1/purge/{id}", get(purge_state))
        .with_state(server)
}

/// What changes state.
pub(crate) fn changes(server: AssetServer) -> Router {
    Router::new()
        .route("/api/v1/purge", post(purge))
        .route("/api/v1/events", post(events))
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

/// How a purge is to be done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    /// Here alone.
    #[serde(default)]
    local: bool,
    /// The id that it has elsewhere.
    id: Option<PurgeId>,
    /// How long to wait until everybody has done it.
    wait: Option<units::Duration>,
}

/// `{"key": "/assets/a"}`, `{"prefix": "/assets/"}`, `{"surrogate_key": "a"}`, or a list of such.
async fn purge(State(server): State<AssetServer>, Query(how): Query<How>, body: Bytes) -> Response {
    let purges = match purges(&body) {
        Ok(purges) => purges,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, "purge", &why),
    };
    if how.local {
        return Json(server.purges().here(how.id, purges).await).into_response();
    }
    let wait = how.wait.map_or(Duration::ZERO, units::Duration::get);
    let everywhere = server
        .purges()
        .everywhere(purges, wait.min(LONGEST_WAIT), PurgeSource::Admin);
    answer(everywhere.await)
}

fn purges(body: &[u8]) -> Result<Vec<Purge>, String> {
    // Two steps, so that a fault is told from where it is.
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let purges: Vec<Purge> = match value {
        list @ Value::Array(_) => serde_json::from_value(list).map_err(|e| e.to_string())?,
        one => vec![serde_json::from_value(one).map_err(|e| e.to_string())?],
    };
    match purges.len() {
        1..=MOST_PURGES => Ok(purges),
        0 => Err("the list is empty".into()),
        _ => Err(format!(
            "more than {MOST_PURGES} purges at once: use a prefix"
        )),
    }
}

/// What a bucket says has changed. Anything but 2xx makes it send the same again.
async fn events(State(server): State<AssetServer>, body: Bytes) -> Response {
    let events = match s3_events::parse(&body) {
        Ok(events) => events,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "event", &error.to_string()),
    };
    let paths = events.iter().flat_map(|event| server.paths_of(event));
    let purges: Vec<Purge> = paths.map(Purge::Key).collect();
    if purges.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    if purges.len() > MOST_PURGES {
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "event",
            "too many records at once",
        );
    }
    let everywhere = server
        .purges()
        .everywhere(purges, Duration::ZERO, PurgeSource::Event);
    let done = everywhere.await;
    match &done.log_error {
        Some(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, "purge_log", why),
        None => answer(done),
    }
}

/// 200 once everybody has done it, 202 before.
fn answer(answer: PurgeAnswer) -> Response {
    let status = match answer.complete {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    (status, Json(answer)).into_response()
}

async fn purge_state(State(server): State<AssetServer>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<PurgeId>() else {
        return refuse(
            StatusCode::NOT_FOUND,
            "purge",
            "this is not the id of a purge",
        );
    };
    match server.purges().state(id).await {
        Ok(Some(state)) => answer(state),
        Ok(None) => refuse(
            StatusCode::NOT_FOUND,
            "purge",
            "no such purge, or it is too long ago",
        ),
        Err(why) => refuse(StatusCode::SERVICE_UNAVAILABLE, "purge_log", &why),
    }
}

fn refuse(status: StatusCode, reason: &'static str, detail: &str) -> Response {
    let problem = Problem {
        status,
        reason,
        detail,
        request_id: "",
        proxy: "admin",
        proxy_error: None,
    };
    problem.into_response().map(axum::body::Body::from)
}
