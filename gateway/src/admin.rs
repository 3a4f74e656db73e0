//! The private listener: liveness, readiness, metrics, the dashboard, and JSON under `/api/v1/`.

mod drain;

mod mesh;

mod rtt;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serving::admin::Finding;
use serving::secret::Secret;

pub use self::drain::{Acknowledgement, DrainAnswer, DrainRequest};
use crate::gateway::{Assets, Edge};
use crate::learning::unix_now;
use crate::region::drain_order::Order;
use crate::region::{Condition, Load, RegionIndex, capabilities, votes};
use crate::route::{Action, Residency};
use crate::steering::{Learnt, Standing, explain};

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
        .route("/api/v1/mesh", get(mesh::view))
        .route("/api/v1/explain", get(explain_client))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/upstreams", get(upstreams))
        .with_state(edge.clone());
    let changing = Router::new()
        .route("/api/v1/drain", post(drain::give).get(drain::list))
        .with_state(edge.clone())
        .merge(rtt::router(edge));
    let changing = serving::admin::require_token(changing, token.clone());
    let router = shared.merge(own).merge(changing);
    match &edge.assets {
        Some(Assets::Embedded(server)) => {
            router.merge(serving::admin::require_token(server.admin_router(), token))
        }
        _ => router,
    }
}

/// An origin that never answered keeps us from being ready; one that fails later leaves what is cached.
/// What else is wrong here or elsewhere is told, and others are sent past it: no reason not to be asked.
fn findings(edge: &Edge) -> Vec<Finding> {
    let told = |what: String, why: &str| Finding {
        what,
        why: why.to_owned(),
        blocking: false,
    };
    let certificates = edge.certificates.as_ref();
    let mut findings = certificates.map_or_else(Vec::new, |kept| kept.findings(SystemTime::now()));
    if let Some(Assets::Embedded(server)) = &edge.assets {
        findings.extend(server.origins().into_iter().filter_map(|origin| {
            let why = origin.error?;
            Some(Finding {
                what: format!("origin of {}", origin.name),
                why,
                blocking: origin.blocking,
            })
        }));
    }
    let settings = edge.settings.load();
    let lost = settings
        .upstreams
        .iter()
        .filter(|upstream| !upstream.endpoints.is_empty() && !upstream.is_reachable());
    findings.extend(lost.map(|upstream| {
        told(
            format!("upstream {}", upstream.name),
            "none of its endpoints here can be reached; its requests go to other regions",
        )
    }));
    let now = Instant::now();
    for (index, region) in edge.regions.iter() {
        let why = match edge.condition(index, now) {
            Condition::Down => "most regions with a fresh word see it fail",
            Condition::FailOpen => "it fails, and is used all the same: too many fail at once",
            Condition::UnreachableFromHere => "it cannot be reached from here; others can",
            Condition::Ejected => "most requests that were carried there failed",
            Condition::Unknown | Condition::Up | Condition::Returning | Condition::Draining => {
                continue;
            }
        };
        findings.push(told(format!("region {}", region.name), why));
    }
    findings
}

#[derive(Serialize)]
struct RegionView {
    name: String,
    own: bool,
    status: &'static str,
    /// The part of its users that it gets as it returns.
    share: f32,
    /// The part of its users that its load lets it keep.
    load_share: f32,
    /// The part of its capacity that is in use, where it has said so.
    load: Option<f32>,
    requests_per_second: Option<f32>,
    weight: f32,
    /// The last order of an operator.
    order: Option<Order>,
    latitude: f32,
    longitude: f32,
    /// Milliseconds of the last good health check.
    rtt_ms: Option<f64>,
    /// Seconds since it was last looked at.
    age_s: Option<f64>,
    /// Why it gets requests, or none.
    reason: &'static str,
    /// Whether requests that enter here may go there.
    usable_here: bool,
    /// Whether answers to everybody, such as those of DNS, may name it.
    usable_for_world: bool,
    /// Seconds since it went down for the world, while it is.
    down_s: Option<f64>,
    /// Whether nobody has a fresh word on it.
    stale: bool,
    votes: Vec<VoteView>,
    /// What works there, as it says itself.
    capabilities: Option<crate::region::Capabilities>,
}

#[derive(Serialize)]
struct VoteView {
    from: String,
    sees: &'static str,
    age_s: f64,
    /// Too old to count.
    stale: bool,
}

async fn regions(State(edge): State<Arc<Edge>>) -> Response {
    let now = Instant::now();
    let name = |index: RegionIndex| edge.regions.of(index).name.to_string();
    let view = |(index, region): (RegionIndex, &crate::region::Region)| {
        let standing = edge.standing(index, true, now);
        let health = region.health();
        let load = if index == edge.regions.own_index() {
            Some(Load::clone(&edge.load.load()))
        } else {
            let heard = edge.state.heard(index);
            heard.map(|heard| heard.record.load.clone())
        };
        let load = load.filter(|load| load.capacity > 0);
        let condition = edge.condition(index, now);
        let policy = &edge.world.policy().quorum;
        let truth = edge.world.truth();
        let votes = votes(&edge.regions, &edge.state, &truth, index, now);
        let votes: Vec<_> = votes
            .iter()
            .map(|vote| VoteView {
                from: name(vote.from),
                sees: vote.sees.as_str(),
                age_s: vote.age.as_secs_f64(),
                stale: vote.age > policy.fresh,
            })
            .collect();
        let usable = |status| {
            use crate::region::Status::{Unknown, Up};
            matches!(status, Up | Unknown)
        };
        let capabilities = if index == edge.regions.own_index() {
            Some(edge.world.own_capabilities())
        } else {
            capabilities(&edge.state, index, now, policy.fresh)
        };
        RegionView {
            reason: condition.as_str(),
            usable_here: usable(standing.status),
            usable_for_world: usable(condition.for_world()),
            down_s: truth
                .verdict(index)
                .down_since
                .map(|at| now.saturating_duration_since(at).as_secs_f64()),
            stale: !votes.is_empty() && votes.iter().all(|vote| vote.stale),
            votes,
            capabilities,
            name: region.name.to_string(),
            own: index == edge.regions.own_index(),
            status: if index == edge.regions.own_index() && edge.drain.has_started() {
                "draining"
            } else if standing.is_drained && standing.status != crate::region::Status::Down {
                "drained"
            } else {
                standing.status.as_str()
            },
            share: standing.share,
            load_share: standing.spill.share,
            load: load.as_ref().map(Load::utilisation),
            requests_per_second: load.as_ref().map(|load| load.requests_per_second),
            weight: standing.weight,
            order: edge.drains.order(region.name.as_str()),
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
    /// The host asked for; it may be a tenant's.
    host: Option<String>,
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
    let rules = settings.rules(
        route.map(|route| &**route),
        query.host.as_deref().unwrap_or_default(),
    );
    let location = edge.geo.lookup(query.ip);
    let preference = rules.preference_of(&edge.preferences, query.ip, &location);
    let standing = |index: crate::region::RegionIndex| {
        let standing = Standing {
            works: route.is_none_or(|route| edge.works(index, &route.action)),
            ..edge.standing(index, true, now)
        };
        rules.apply(standing, index, preference)
    };
    let snapshot = edge.learning.snapshot();
    let learnt = Learnt {
        snapshot: &snapshot,
        exploration: edge.learning.exploration,
        now: unix_now(),
    };
    Json(explain(
        &edge.regions,
        &edge.geo,
        &edge.costs,
        query.ip,
        Some(learnt),
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
            "residency": residency(&edge, &route.residency),
            "action": action,
        })
    };
    Json(settings.routes.iter().map(view).collect::<Vec<_>>()).into_response()
}

/// The names of the regions where data may be; `null` where there is no rule.
fn residency(edge: &Edge, residency: &Residency) -> Option<Vec<String>> {
    let allowed = edge
        .regions
        .iter()
        .filter(|(index, _)| residency.allows(*index));
    let names = allowed.map(|(_, region)| region.name.to_string()).collect();
    (*residency != Residency::ANYWHERE).then_some(names)
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
