//! `/api/v1/drain`: takes an operator's order to give a region no users, or users again, and says which
//! gateways have heard of it. Any region takes an order for any region.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serving::problem::Problem;

use crate::gateway::Edge;
use crate::region::drain_order::{MAX_TEXT, Order, OrderVersion};
use crate::region::{RegionIndex, Status};

/// How long an answer waits for the other regions to have heard, unless the request says.
const WAIT: Duration = Duration::from_secs(5);

/// The longest it waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// The region.
    pub region: String,
    /// Whether it is to get no users; otherwise an earlier order is undone.
    pub drain: bool,
    /// Why; a drain needs it.
    #[serde(default)]
    pub reason: String,
    /// Who asks.
    #[serde(default)]
    pub author: String,
    /// Also if no region would be left.
    #[serde(default)]
    pub force: bool,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrainAnswer {
    /// The region.
    pub region: String,
    /// The order in force now.
    pub order: Order,
    /// Who has heard of it.
    pub regions: Vec<Acknowledgement>,
    /// Whether every region that is up has.
    pub complete: bool,
    /// Whether the gateway that took the order keeps it over its own restart.
    pub kept: bool,
    /// Routes that only drained regions can answer: their requests go on to go there.
    pub only_there: Vec<String>,
}

/// Whether a region has heard of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The region.
    pub region: String,
    /// Whether it has.
    pub heard: bool,
    /// How it is doing; one that is down hears when it is back.
    pub status: String,
}

/// How long to wait.
#[derive(Debug, Deserialize)]
pub(super) struct Wait {
    wait: Option<serving::units::Duration>,
}

/// All orders.
pub(super) async fn list(State(edge): State<Arc<Edge>>) -> Response {
    Json(edge.drains.orders()).into_response()
}

/// Takes an order.
pub(super) async fn give(
    State(edge): State<Arc<Edge>>,
    Query(wait): Query<Wait>,
    body: Bytes,
) -> Response {
    let (region, order) = match check(&edge, &body) {
        Ok(checked) => checked,
        Err((status, reason, detail)) => return refuse(&edge, status, reason, &detail),
    };
    let name = edge.regions.of(region).name.to_string();
    let order = edge.drains.give(&name, order, Instant::now());
    tracing::warn!(
        region = name,
        drain = order.drain,
        reason = order.reason,
        author = order.author,
        "an operator's order"
    );
    let kept = match edge.drains.save().await {
        Ok(()) => edge.drains.are_kept(),
        Err(error) => {
            tracing::error!(%error, "the order could not be kept");
            false
        }
    };
    let wait = wait.wait.map_or(WAIT, |wait| wait.get().min(LONGEST_WAIT));
    let deadline = tokio::time::Instant::now() + wait;
    let regions = loop {
        let regions = acknowledgements(&edge, &name, &order.version);
        let late = tokio::time::Instant::now() >= deadline;
        if late || is_complete(&regions) {
            break regions;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let answer = DrainAnswer {
        region: name,
        order,
        complete: is_complete(&regions),
        regions,
        kept,
        only_there: only_there(&edge),
    };
    Json(answer).into_response()
}

type Refusal = (StatusCode, &'static str, String);

fn check(edge: &Edge, body: &[u8]) -> Result<(RegionIndex, Order), Refusal> {
    let invalid = |detail: String| (StatusCode::BAD_REQUEST, "invalid_order", detail);
    let request: DrainRequest =
        serde_json::from_slice(body).map_err(|error| invalid(format!("not an order: {error}")))?;
    let region = edge.regions.find(&request.region).ok_or_else(|| {
        let names: Vec<_> = edge
            .regions
            .iter()
            .map(|(_, region)| region.name.to_string())
            .collect();
        let detail = format!(
            "{:?} is not among the regions: {}",
            request.region,
            names.join(", ")
        );
        (StatusCode::NOT_FOUND, "no_such_region", detail)
    })?;
    let (reason, author) = (request.reason.trim(), request.author.trim());
    if request.drain && reason.is_empty() {
        return Err(invalid(
            "a drain needs a reason, for whoever wonders".into(),
        ));
    }
    if reason.len() > MAX_TEXT || author.len() > MAX_TEXT {
        return Err(invalid(format!(
            "reason and author have at most {MAX_TEXT} bytes each"
        )));
    }
    if request.drain && !request.force && !another_is_left(edge, region) {
        let detail = format!(
            "{} is the last region that is up and not drained; undrain another first, or force it",
            request.region
        );
        return Err((StatusCode::CONFLICT, "last_region", detail));
    }
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let order = Order {
        drain: request.drain,
        reason: reason.to_owned(),
        author: if author.is_empty() { "unknown" } else { author }.to_owned(),
        at: at.as_secs(),
        version: OrderVersion {
            counter: 0,
            region: edge.regions.own().name.to_string(),
            instance: edge.state.instance.id(),
        },
    };
    Ok((region, order))
}

/// Whether users have somewhere to go without `region`.
fn another_is_left(edge: &Edge, region: RegionIndex) -> bool {
    edge.regions.iter().any(|(other, _)| {
        other != region && status(edge, other) == Status::Up && !edge.drains.is_drained(other)
    })
}

fn status(edge: &Edge, region: RegionIndex) -> Status {
    if region == edge.regions.own_index() {
        Status::Up
    } else {
        edge.regions.of(region).health().status
    }
}

fn acknowledgements(edge: &Edge, region: &str, version: &OrderVersion) -> Vec<Acknowledgement> {
    let all = edge.regions.iter();
    all.map(|(index, other)| Acknowledgement {
        region: other.name.to_string(),
        heard: index == edge.regions.own_index()
            || edge
                .state
                .heard(index)
                .is_some_and(|heard| heard.record.drain_orders.has_heard(region, version)),
        status: status(edge, index).as_str().to_owned(),
    })
    .collect()
}

fn is_complete(regions: &[Acknowledgement]) -> bool {
    let down = Status::Down.as_str();
    regions.iter().all(|one| one.heard || one.status == down)
}

fn only_there(edge: &Edge) -> Vec<String> {
    let settings = edge.settings.load();
    let stuck = settings.routes.iter().filter(|route| {
        let mut able = edge
            .regions
            .iter()
            .filter(|(index, _)| route.available[index.get()] && route.residency.allows(*index));
        route.action.is_steered() && able.all(|(index, _)| edge.drains.is_drained(index))
    });
    stuck.map(|route| route.name.to_string()).collect()
}

fn refuse(edge: &Edge, status: StatusCode, reason: &'static str, detail: &str) -> Response {
    let problem = Problem {
        status,
        reason,
        detail,
        request_id: "",
        proxy: edge.regions.own().name.as_str(),
        proxy_error: None,
    };
    problem.into_response().map(Body::from)
}
