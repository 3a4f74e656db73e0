//! Carries a request to another region: over our link, or through a third region where that is the
//! way, and by the other way where nothing of the request was sent.

use http::{HeaderValue, Response, StatusCode};

use super::path::Path;
use crate::error::Error;
use crate::forward::{Forwarded, Leg, Outgoing, RELAY_FAILED, ResponseBody, to_region};
use crate::gateway::Edge;
use crate::region::{Observation, RegionIndex};
use crate::route::Residency;

/// Carries `request` to region `to`.
pub async fn carry(
    edge: &Edge,
    to: RegionIndex,
    hops: u8,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
    residency: &Residency,
) -> Result<Response<ResponseBody>, Error> {
    let may_pass = |path: &Path| match path {
        Path::Direct => true,
        Path::Via(via) => residency.may_pass(*via),
    };
    let path = edge.mesh.path(to).ok_or(Error::Unreachable)?;
    // What may not pass through the third region goes the direct way, or not at all.
    let path = if may_pass(&path) { path } else { Path::Direct };
    let failure = match one_way(edge, to, path, hops, request, forwarded).await {
        Ok(response) => return Ok(response),
        Err(failure) => failure,
    };
    // Nobody listens there, or the third region no longer reaches it.
    edge.mesh
        .way_failed(to, path, &failure, &edge.regions, &edge.state);
    let other = edge
        .mesh
        .path(to)
        .filter(|other| *other != path && may_pass(other));
    match other {
        Some(other) if request.may_retry(&failure) && edge.mesh.retry_budget.spend() => {
            edge.metrics.retries.inc();
            one_way(edge, to, other, hops, request, forwarded).await
        }
        _ => Err(failure),
    }
}

async fn one_way(
    edge: &Edge,
    to: RegionIndex,
    path: Path,
    hops: u8,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
) -> Result<Response<ResponseBody>, Error> {
    let (next, destination) = match path {
        Path::Direct => (to, None),
        Path::Via(via) => (via, Some(&edge.regions.of(to).header)),
    };
    let link = edge.mesh.of(next);
    link.carried.count(path);
    let repeatable = request.parts.method.is_idempotent();
    let leg = Leg {
        link,
        timeouts: edge.mesh.timeouts,
        hops,
        destination,
    };
    let sending = to_region(leg, request, forwarded, &edge.drain);
    let response = tokio::select! {
        response = sending => response?,
        // What may be asked again does not wait for a region that has gone silent.
        () = link.lost.notified(), if repeatable => return Err(Error::LinkLost),
    };
    match response.headers().get(RELAY_FAILED) {
        Some(how) if destination.is_some() && how == UNSENT => Err(Error::Unreachable),
        Some(_) if destination.is_some() => Err(Error::LinkLost),
        _ => Ok(response),
    }
}

/// Nothing of the request has left the third region.
const UNSENT: &str = "unsent";

/// Passes on what another region could not bring to `to` itself. Straight, whatever we would do.
pub async fn relay(
    edge: &Edge,
    to: RegionIndex,
    hops: u8,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
) -> Response<ResponseBody> {
    let error = match one_way(edge, to, Path::Direct, hops, request, forwarded).await {
        Ok(mut response) => {
            response.headers_mut().remove(RELAY_FAILED);
            return response;
        }
        Err(error) => error,
    };
    let how = match &error {
        Error::Connect(_) | Error::Unreachable => UNSENT,
        _ => "broken",
    };
    tracing::info!(region = %edge.regions.of(to).name, %error, "could not relay a request");
    let mut response = Response::new(ResponseBody::Full(None));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(RELAY_FAILED, HeaderValue::from_static(how));
    response
}

/// What a failure to carry says of the region's health: nothing where a third region failed.
pub fn observed(edge: &Edge, to: RegionIndex, error: &Error) -> Option<Observation> {
    match error {
        Error::Unreachable | Error::LinkLost => None,
        // Its own word by another way tells better than one refused connection.
        Error::Connect(_) if matches!(edge.mesh.path(to), Some(Path::Via(_))) => None,
        Error::Connect(_) => Some(Observation::Unreachable),
        Error::Broken(_) => Some(Observation::Failed),
        _ => None,
    }
}

/// Whether a failure to carry counts against the region when its failures are compared with its
/// successes: not where a third region or a link failed.
pub fn speaks_against(edge: &Edge, to: RegionIndex, error: &Error) -> bool {
    observed(edge, to, error).is_some() || matches!(error, Error::FirstByteTimeout { .. })
}
