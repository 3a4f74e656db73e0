//! Another region is better for this client: answer here all the same, carry the request there, or send the
//! client on. What is best is decided by `steering::correct`; this does it.

use std::time::Instant;

use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use serving::problem::PROXY_STATUS;

use super::{FIRST_HOP, forwarded, redirect, serve_here};
use crate::access_log::Record;
use crate::error::{Error, Retry};
use crate::forward::{Outgoing, ResponseBody};
use crate::gateway::{Assets, Edge};
use crate::mesh;
use crate::region::{Region, RegionIndex};
use crate::route::{Action, Residency, Route, SteeringMode};
use crate::steering::{Asked, Correction, Decision, Reason, Ways, correct, explain_header};

/// Names the alternative that `Alt-Svc` led to, RFC 7838 section 5.
const ALT_USED: HeaderName = HeaderName::from_static("alt-used");

/// Another region is better for this client, and nobody has carried the request yet: whatever costs the
/// client least is done, as far as the route allows.
pub(super) async fn serve_elsewhere(
    edge: &Edge,
    route: &Route,
    decision: &Decision,
    residency: &Residency,
    request: &mut Outgoing,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let Some(better) = decision.best() else {
        return Err(Error::NoUsableRegion);
    };
    let ways = edge.ways(decision, better);
    let mut asked = asked(edge, route, decision, better, request, record);
    let mut correction = correct(&asked, ways);
    let mut answer = match correction {
        Correction::Redirect => None,
        Correction::Here => Some(serve_here(edge, route, request, record).await?),
        Correction::Carry => Some(carry(edge, route, decision, residency, request, record).await?),
    };
    // Only now is the size of an asset known. Its body has not been read, and is dropped unread.
    if let Some(response) = answer.as_ref().filter(|_| asked.mode == SteeringMode::Auto) {
        asked.size = size(route, &request.parts.method, response).or(asked.size);
        if correct(&asked, ways) == Correction::Redirect {
            correction = Correction::Redirect;
            answer = None;
        }
    }
    edge.metrics.corrected(correction);
    if record.explains {
        record.explained = explain_header(&edge.regions, decision, correction);
    }
    let region = edge.regions.of(better);
    match (answer, &region.public_url) {
        (Some(response), _) => {
            record.alt_svc = alt_svc(edge, region, &asked, ways, record);
            Ok(response)
        }
        (None, Some(url)) => {
            record.region = better;
            // Temporary: the client may have moved by tomorrow, and so may the region's state.
            let status = StatusCode::TEMPORARY_REDIRECT;
            redirect(status, &format!("{url}*"), &request.parts)
        }
        // `can_redirect` says that there is one.
        (None, None) => Err(Error::NoUsableRegion),
    }
}

/// What the correction needs to know of a request.
fn asked(
    edge: &Edge,
    route: &Route,
    decision: &Decision,
    better: RegionIndex,
    request: &Outgoing,
    record: &Record,
) -> Asked {
    let parts = &request.parts;
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let own = decision.place_of(edge.regions.own_index());
    // Whom slow start or load sends away stays away.
    let is_sent_away =
        |reason| matches!(reason, Reason::SlowStart | Reason::Spilled | Reason::Full);
    let may_stay = own.is_some_and(|own| own.reason.is_usable() && !is_sent_away(own.reason));
    let is_here = match (&route.action, &edge.assets) {
        (Action::Assets, Some(Assets::Embedded(server))) => is_read && server.is_cached(parts),
        (Action::Upstream { .. }, _) => true,
        _ => false,
    };
    let alternative = parts.headers.get(ALT_USED);
    let mut names = [Some(&record.host), alternative].into_iter().flatten();
    Asked {
        mode: route.steering,
        is_read,
        has_body: request.has_body(),
        is_upgrade: request.is_upgrade(),
        names_a_region: names.any(|name| {
            let name = name.to_str().unwrap_or_default();
            edge.regions.is_name_of_one(name)
        }),
        size: route.expected_size,
        can_answer_here: may_stay && is_here,
        // Who is sent on cannot be called back, so never on a guess.
        can_redirect: edge.regions.of(better).public_url.is_some()
            && decision
                .place_of(better)
                .is_some_and(|place| place.reason != Reason::FailOpen),
    }
}

/// Bytes of an asset that is about to be sent.
fn size(route: &Route, method: &Method, response: &Response<ResponseBody>) -> Option<u64> {
    if *method == Method::HEAD || !response.status().is_success() {
        return Some(0);
    }
    let length = response.headers().get(CONTENT_LENGTH)?.to_str().ok()?;
    // An upstream has done its work by now, and would do it again elsewhere.
    let length = length.parse().ok();
    length.filter(|_| matches!(route.action, Action::Assets))
}

/// `Alt-Svc` (RFC 7838) for a region with a name of its own, over TLS only, and only where it is nearer: it
/// is an operator's word that every region's certificate covers the one name.
fn alt_svc(
    edge: &Edge,
    region: &Region,
    asked: &Asked,
    ways: Option<Ways>,
    record: &Record,
) -> Option<HeaderValue> {
    let lifetime = edge.correction.alt_svc?;
    let authority = region.public_url.as_deref()?.strip_prefix("https://")?;
    let is_nearer = ways.is_some_and(|ways| ways.better_ms < ways.here_ms);
    if !record.tls || asked.names_a_region || !is_nearer {
        return None;
    }
    let port = if authority.rsplit(']').next()?.contains(':') {
        ""
    } else {
        ":443"
    };
    let value = format!("h2=\"{authority}{port}\"; ma={}", lifetime.as_secs());
    HeaderValue::try_from(value).ok()
}

/// Carries a request to the best region that takes it.
async fn carry(
    edge: &Edge,
    route: &Route,
    decision: &Decision,
    residency: &Residency,
    request: &mut Outgoing,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let forwarded = forwarded(edge, record);
    // Regions that do not take each other for peers would carry it back and forth for ever.
    if forwarded.has_passed(&request.parts.headers) {
        return Err(Error::Loop);
    }
    let mut failure = Error::NoUsableRegion;
    edge.mesh.retry_budget.earn();
    for (attempt, place) in decision.usable().enumerate() {
        if attempt > 0 && !request.may_retry(&failure) {
            return Err(failure);
        }
        if place.region == edge.regions.own_index() {
            return serve_here(edge, route, request, record).await;
        }
        let region = edge.regions.of(place.region);
        if attempt > 0 {
            // What was not sent costs nobody work; all else is bounded.
            let is_unsent = failure.verdict().retry == Retry::Always;
            if !is_unsent && !edge.mesh.retry_budget.spend() {
                return Err(failure);
            }
            edge.metrics.retries.inc();
        }
        let carried = mesh::carry(
            edge,
            place.region,
            FIRST_HOP,
            request,
            &forwarded,
            residency,
        );
        match carried.await {
            Ok(response) if is_overloaded(region, &response) => failure = Error::Overloaded,
            Ok(response) => {
                if is_failure_of_edge(region, &response) {
                    region.traffic.failed();
                } else {
                    region.traffic.succeeded();
                }
                record.region = place.region;
                return Ok(response);
            }
            Err(error) => {
                tracing::info!(region = %region.name, %error, "could not carry a request");
                // Silence may be the application's; enough of it still speaks against the region.
                if mesh::speaks_against(edge, place.region, &error) {
                    region.traffic.failed();
                }
                if let Some(seen) = mesh::observed(edge, place.region, &error) {
                    region.observe(seen, Instant::now(), &edge.health_policy);
                }
                failure = error;
            }
        }
    }
    Err(failure)
}

/// Whether another region has refused a carried request because it is full: our own answer for
/// [`Error::Overloaded`], as that region's gateway gives it.
fn is_overloaded(region: &Region, response: &Response<ResponseBody>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE
        && error_of_edge(region, response) == Some("proxy_internal_response")
}

/// Whether a region's own gateway made this error. Shedding load is no failure.
fn is_failure_of_edge(region: &Region, response: &Response<ResponseBody>) -> bool {
    let status = response.status();
    status.is_server_error()
        && status != StatusCode::LOOP_DETECTED
        && error_of_edge(region, response).is_some_and(|error| error != "proxy_internal_response")
}

/// The error that a region's own gateway made, not the application behind it: only then does
/// `Proxy-Status` (RFC 9209) begin with the region.
fn error_of_edge<'a>(region: &Region, response: &'a Response<ResponseBody>) -> Option<&'a str> {
    let status = response.headers().get(PROXY_STATUS)?.to_str().ok()?;
    let rest = status.strip_prefix(region.name.as_str())?;
    rest.strip_prefix("; error=")
}
