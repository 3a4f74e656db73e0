//! `/api/v1/rtt`: the learnt round trips, as JSON or CSV, and what an operator knows better.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::gateway::Edge;
use crate::learning::{read_csv, write_csv};
use crate::steering::Measurement;

/// A million lines of CSV.
const MAX_IMPORT: usize = 64 << 20;

/// Export and import; the caller asks for the token.
pub(super) fn router(edge: &Arc<Edge>) -> Router {
    Router::new()
        .route("/api/v1/rtt", get(export).post(import))
        .layer(DefaultBodyLimit::max(MAX_IMPORT))
        .with_state(edge.clone())
}

#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: Kind,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Json,
    Csv,
}

async fn export(State(edge): State<Arc<Edge>>, Query(format): Query<Format>) -> Response {
    let measurements = edge.learning.export();
    if matches!(format.format, Kind::Csv) {
        let text = write_csv(&edge.regions, &measurements);
        return ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response();
    }
    let named = measurements.into_iter().map(|each| Measurement {
        prefix: each.prefix,
        region: edge.regions.of(each.region).name.to_string(),
        rtt_ms: each.rtt_ms,
        samples: each.samples,
        measured_at: each.measured_at,
    });
    Json(named.collect::<Vec<_>>()).into_response()
}

async fn import(State(edge): State<Arc<Edge>>, text: String) -> Response {
    match read_csv(&text, &edge.regions) {
        Ok(measurements) => {
            let counted = edge.learning.import(&measurements);
            tracing::info!(
                read = measurements.len(),
                counted,
                "round trips were imported"
            );
            Json(json!({"read": measurements.len(), "counted": counted})).into_response()
        }
        Err(error) => {
            let problem = json!({"title": "not a table of round trips", "status": 400, "detail": error.to_string()});
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (StatusCode::BAD_REQUEST, kind, Json(problem)).into_response()
        }
    }
}
