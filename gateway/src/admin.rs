//! The private listener: liveness, readiness, metrics, the dashboard, and JSON under `/api/v1/`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serving::admin::Finding;
use serving::secret::Secret;

use crate::gateway::{Assets, Edge};
use crate::route::Action;
use crate::steering::explain;

/// Everything the private listener answers.
pub fn router(edge: &Arc<Edge>, token: Option<Secret>) -> Router {
    let readiness = edge.clone();
    let shared = serving::admin::router(edge.registry.clone(), edge.drain.clone(), move || {
        findings(&readiness)
    });
    let own = Router::new()
        .route(
            "/",
            get(|| async { Html(include_str!("admin/dashboard.html")) }),
        )
        .route("/api/v1/regions", get(regions))
        .route("/api/v1/explain", get(explain_client))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/upstreams", get(upstreams))
        .with_state(edge.clone());
    let router = shared.merge(own);
    match &edge.assets {
        Some(Assets::Embedded(server)) => {
            router.merge(serving::admin::require_token(server.admin_router(), token))
        }
        _ => router,
    }
}

/// An origin that never answered keeps us from being ready; one that fails later leaves what is cached.
fn findings(edge: &Edge) -> Vec<Finding> {
    let certificates = edge.certificates.as_ref();
    let mut findings = certificates.map_or_else(Vec::new, |kept| kept.findings(SystemTime::now()));
    let Some(Assets::Embedded(server)) = &edge.assets else {
        return findings;
    };
    let failing = server.origins().into_iter().filter_map(|origin| {
        let why = origin.error?;
        Some(Finding {
            what: format!("origin of {}", origin.name),
            why,
            blocking: origin.blocking,
        })
    });
    findings.extend(failing);
    findings
}

#[derive(Serialize)]
struct RegionView {
    name: String,
    own: bool,
    status: &'static str,
    share: f32,
    latitude: f32,
    longitude: f32,
    /// Milliseconds of the last good health check.
    rtt_ms: Option<f64>,
    /// Seconds since it was last looked at.
    age_s: Option<f64>,
}

async fn regions(State(edge): State<Arc<Edge>>) -> Response {
    let now = Instant::now();
    let view = |(index, region): (_, &crate::region::Region)| {
        let standing = edge.standing(index, true, now);
        let health = region.health();
        RegionView {
            name: region.name.to_string(),
            own: index == edge.regions.own_index(),
            status: if index == edge.regions.own_index() && edge.drain.has_started() {
                "draining"
            } else {
                standing.status.as_str()
            },
            share: standing.share,
            latitude: region.point.lat,
            longitude: region.point.lon,
            rtt_ms: health.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            age_s: health
                .checked_at
                .map(|at| now.saturating_duration_since(at).as_secs_f64()),
        }
    };
    Json(edge.regions.iter().map(view).collect::<Vec<_>>()).into_response()
}

#[derive(Deserialize)]
struct ExplainQuery {
    ip: IpAddr,
    route: Option<String>,
}

async fn explain_client(
    State(edge): State<Arc<Edge>>,
    Query(query): Query<ExplainQuery>,
) -> Response {
    let settings = edge.settings.load_full();
    let route = match &query.route {
        None => None,
        Some(name) => match settings.routes.iter().find(|route| *route.name == **name) {
            Some(route) => Some(route),
            None => {
                return (
                    StatusCode::NOT_FOUND,
                    Json(json!({"error": format!("no route is named {name:?}")})),
                )
                    .into_response();
            }
        },
    };
    let now = Instant::now();
    let standing = |index: crate::region::RegionIndex| {
        let has_upstream = route.is_none_or(|route| route.available[index.get()]);
        edge.standing(index, has_upstream, now)
    };
    Json(explain(
        &edge.regions,
        &edge.geo,
        &edge.costs,
        query.ip,
        standing,
        true,
    ))
    .into_response()
}

async fn routes(State(edge): State<Arc<Edge>>) -> Response {
    let settings = edge.settings.load_full();
    let view = |route: &Arc<crate::route::Route>| {
        let action = match &route.action {
            Action::Assets => json!("assets"),
            Action::Upstream {
                upstream,
                strip_prefix,
            } => json!({"upstream": upstream.name, "strip_prefix": strip_prefix}),
            Action::Redirect { status, to } => {
                json!({"redirect": {"status": status.as_u16(), "to": to}})
            }
            Action::Respond { status, .. } => json!({"respond": {"status": status.as_u16()}}),
        };
        let matcher = &route.matcher;
        json!({
            "name": route.name,
            "match": {"host": matcher.host.to_string(), "path": matcher.path.to_string()},
            "steering": route.steering,
            "action": action,
        })
    };
    Json(settings.routes.iter().map(view).collect::<Vec<_>>()).into_response()
}

async fn upstreams(State(edge): State<Arc<Edge>>) -> Response {
    let settings = edge.settings.load_full();
    let view = |upstream: &Arc<crate::upstream::Upstream>| {
        let endpoints = upstream.endpoints.iter().map(|endpoint| {
            json!({"address": endpoint.authority.as_str(), "up": !endpoint.is_down(), "in_flight": endpoint.in_flight()})
        });
        json!({"name": upstream.name, "endpoints": endpoints.collect::<Vec<_>>()})
    };
    Json(settings.upstreams.iter().map(view).collect::<Vec<_>>()).into_response()
}
