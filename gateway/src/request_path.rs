//! THE request path: what happens to a request, in the order in which it happens. `respond` takes it
//! from the listener; `answer` is what may fail; `serve_here` is the last step in this region.
//!
//! It is one function over plain values rather than a stack of boxed services, so that a cached asset
//! costs no allocation per layer and a reader sees the whole path on one page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayString;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use serving::listener::Peer;
use serving::problem::{PROXY_STATUS, Problem};

use crate::access_log::{Record, Recorded};
use crate::error::{Error, Retry, Verdict};
use crate::forward::{CARRIED_HOPS, Forwarded, Outgoing, ResponseBody, to_region, to_upstream};
use crate::gateway::{Assets, Edge, Settings};
use crate::mesh;
use crate::region::{HEALTH_PATH, Observation, Region};
use crate::request_id::{self, REQUEST_ID};
use crate::rescue;
use crate::route::{Action, Route, SteeringMode};
use crate::steering::Decision;

/// Names the region that answered.
pub const EDGE_REGION: HeaderName = HeaderName::from_static("x-edge-region");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A request is carried between regions at most this often, and counted from this.
const MAX_HOPS: u8 = 3;
const FIRST_HOP: u8 = 1;

/// What the listener hands over, and what becomes of it.
pub async fn respond(
    edge: Arc<Edge>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Recorded> {
    let start = Instant::now();
    let settings = edge.settings.load_full();
    let mut request = Outgoing::new(request);
    let ip = peer.address.ip();

    // Trusted-proxy rules fix the one address that logs, limits and steering believe.
    let from_region = settings.peers.contains(ip);
    let client = settings.trusted_proxies.client(ip, &request.parts.headers);
    let trusted = from_region || settings.trusted_proxies.contains(ip);
    let id = request_id::of(&request.parts.headers, trusted);

    // From here on every request leaves a line in the log, however it ends.
    let mut record = Record::new(start, id, client, edge.regions.own_index());
    let hops = if from_region { hops(&request.parts) } else { 0 };
    record.tls = if hops > 0 {
        Forwarded::carried_tls(&request.parts.headers)
    } else {
        peer.tls
    };

    record.is_check = from_region && request.parts.uri.path() == HEALTH_PATH;

    // From here down anything may fail; from here up there is always a response.
    let answered =
        rescue::from_panic(answer(&edge, &settings, &mut request, hops, &mut record)).await;
    let response = answered.unwrap_or_else(|error| problem(&edge, &error, &mut record));
    record.take_from(request.parts);
    finish(edge, response, record)
}

/// From admission to the first byte of the answer.
async fn answer(
    edge: &Edge,
    settings: &Settings,
    request: &mut Outgoing,
    hops: u8,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    // May this request enter?
    record.permit = Some(edge.admission.enter()?);
    if hops > MAX_HOPS {
        return Err(Error::Loop);
    }

    // Host, path, method, headers -> route.
    let parts = &request.parts;
    record.host = host(parts, hops > 0)?;
    if record.is_check {
        return Ok(own_record(edge));
    }
    let name = without_port(record.host.to_str().map_err(|_| Error::InvalidHost)?);
    let route = settings
        .routes
        .find(name, parts.uri.path(), &parts.method, &parts.headers)
        .ok_or(Error::NoRoute)?;
    record.route = Some(route.clone());
    match &route.action {
        Action::Respond {
            status,
            content_type,
            body,
        } => return Ok(fixed(*status, content_type, body)),
        Action::Redirect { status, to } => return redirect(*status, to, parts),
        Action::Assets | Action::Upstream { .. } => {}
    }

    // Route and client -> ranked regions.
    let decision = edge.steer(record.client, route, record.start);
    record.nearest = decision.ideal;
    let here = hops > 0
        || route.steering == SteeringMode::Here
        || decision.best() == Some(edge.regions.own_index());
    if here {
        return serve_here(edge, route, request, record).await;
    }
    // Boxed, so that requests that stay do not carry the room that those that leave need.
    Box::pin(serve_elsewhere(edge, route, &decision, request, record)).await
}

/// Another region is better for this client, and nobody has carried the request yet.
async fn serve_elsewhere(
    edge: &Edge,
    route: &Route,
    decision: &Decision,
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
        if let (SteeringMode::Redirect, Some(url)) = (route.steering, &region.public_url) {
            record.region = place.region;
            return redirect(
                StatusCode::TEMPORARY_REDIRECT,
                &format!("{url}*"),
                &request.parts,
            );
        }
        if attempt > 0 {
            // What was not sent costs nobody work; all else is bounded.
            let is_unsent = failure.verdict().retry == Retry::Always;
            if !is_unsent && !edge.mesh.retry_budget.spend() {
                return Err(failure);
            }
            edge.metrics.retries.inc();
        }
        match to_region(
            &edge.mesh,
            region,
            FIRST_HOP,
            request,
            &forwarded,
            &edge.drain,
        )
        .await
        {
            Ok(response) => {
                if is_failure_of_edge(&response, region) {
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
                let (is_failure, seen) = match error {
                    Error::Connect(_) => (true, Some(Observation::Unreachable)),
                    Error::Broken(_) => (true, Some(Observation::Failed)),
                    Error::FirstByteTimeout { .. } => (true, None),
                    _ => (false, None),
                };
                if is_failure {
                    region.traffic.failed();
                }
                if let Some(seen) = seen {
                    region.observe(seen, Instant::now(), &edge.health_policy);
                }
                failure = error;
            }
        }
    }
    Err(failure)
}

/// Whether a region's own gateway made this error, and not the application behind it: only then does
/// `Proxy-Status` (RFC 9209) begin with the region. Shedding load is no failure.
fn is_failure_of_edge(response: &Response<ResponseBody>, region: &Region) -> bool {
    let status = response.status();
    status.is_server_error()
        && status != StatusCode::LOOP_DETECTED
        && response
            .headers()
            .get(PROXY_STATUS)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix(region.name.as_str()))
            .is_some_and(|rest| {
                rest.starts_with("; error=") && rest != "; error=proxy_internal_response"
            })
}

/// The last step: this region answers.
async fn serve_here(
    edge: &Edge,
    route: &Route,
    request: &mut Outgoing,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let (upstream, strip_prefix) = match (&route.action, &edge.assets) {
        (
            Action::Upstream {
                upstream,
                strip_prefix,
            },
            _,
        ) => (upstream, strip_prefix.as_deref()),
        (_, Some(Assets::Embedded(server))) => {
            request.parts.headers.insert(REQUEST_ID, record.id.clone());
            if server.asks_for_client() {
                let client = asset_server::ClientAddress(record.client);
                request.parts.extensions.insert(client);
            }
            // The way here takes less than the clock can tell, so one reading serves for both.
            record.waited = Some(("cache", record.start));
            return Ok(server
                .respond(&request.parts, || request.body_once())
                .await
                .map(ResponseBody::Asset));
        }
        (_, Some(Assets::Remote(upstream))) => (upstream, None),
        (_, None) => return Err(Error::NoUsableEndpoint),
    };
    let forwarded = forwarded(edge, record);
    record.waited = Some(("upstream", Instant::now()));
    let sent = to_upstream(upstream, strip_prefix, request, &forwarded, &edge.drain);
    let (mut response, claim) = Box::pin(sent).await?;
    record.claim = Some(claim);
    // What an upstream says about regions is not ours to pass on.
    response.headers_mut().remove(EDGE_REGION);
    Ok(response)
}

/// What the next hop is told.
fn forwarded<'a>(edge: &'a Edge, record: &Record) -> Forwarded<'a> {
    Forwarded {
        region: edge.regions.own().name.as_str(),
        client: record.client,
        tls: record.tls,
        host: record.host.clone(),
        id: record.id.clone(),
    }
}

/// What every response carries, and what is counted of it.
fn finish(
    edge: Arc<Edge>,
    mut response: Response<ResponseBody>,
    mut record: Box<Record>,
) -> Response<Recorded> {
    let now = Instant::now();
    record.headers_after = now.duration_since(record.start);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, record.id.clone());
    headers.insert(EDGE_REGION, edge.regions.of(record.region).header.clone());
    if let Some(timing) = server_timing(edge.regions.own(), &record, now) {
        headers.append(SERVER_TIMING, timing);
    }
    if let Some(route) = &record.route {
        route.metrics.count(response.status());
        if route.action.is_steered() {
            edge.metrics
                .response(record.nearest, record.region, record.headers_after);
        }
    }
    record.follow(response, edge)
}

fn problem(edge: &Edge, error: &Error, record: &mut Record) -> Response<ResponseBody> {
    let Verdict {
        status,
        reason,
        proxy_error,
        ..
    } = error.verdict();
    record.error = Some(reason);
    edge.metrics.error(reason);
    let problem = Problem {
        status,
        reason,
        detail: &error.to_string(),
        request_id: record.id.to_str().unwrap_or_default(),
        proxy: edge.regions.own().name.as_str(),
        proxy_error,
    };
    let mut response = problem.into_response();
    if matches!(error, Error::Overloaded) {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response.map(ResponseBody::from)
}

/// How often other regions have carried the request already. What cannot be read counts as too often.
fn hops(parts: &Parts) -> u8 {
    let Some(hops) = parts.headers.get(CARRIED_HOPS) else {
        return 0;
    };
    hops.to_str()
        .ok()
        .and_then(|hops| hops.parse().ok())
        .unwrap_or(u8::MAX)
}

/// The host asked for, RFC 9110 section 7.2: of the region that carried the request, of the target URI,
/// or of the `Host` header.
fn host(parts: &Parts, carried: bool) -> Result<HeaderValue, Error> {
    if let Some(host) = Forwarded::carried_host(&parts.headers).filter(|_| carried) {
        return Ok(host.clone());
    }
    if let Some(authority) = parts.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).map_err(|_| Error::InvalidHost);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(host.clone()),
        (None, _) if parts.version == Version::HTTP_10 => Ok(HeaderValue::from_static("")),
        _ => Err(Error::InvalidHost),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            name
        }
        _ => host,
    }
}

fn fixed(status: StatusCode, content_type: &HeaderValue, body: &Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(body.clone()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, content_type.clone());
    response
}

/// A redirect; a trailing `*` in `to` stands for path and query.
fn redirect(status: StatusCode, to: &str, parts: &Parts) -> Result<Response<ResponseBody>, Error> {
    let location = match to.strip_suffix('*') {
        Some(start) => format!(
            "{}{}",
            start.trim_end_matches('/'),
            parts.uri.path_and_query().map_or("/", |path| path.as_str())
        ),
        None => to.to_owned(),
    };
    let mut response = Response::new(ResponseBody::Full(None));
    *response.status_mut() = status;
    response.headers_mut().insert(
        LOCATION,
        HeaderValue::try_from(location).map_err(|_| Error::InvalidHost)?,
    );
    Ok(response)
}

fn own_record(edge: &Edge) -> Response<ResponseBody> {
    let now = Instant::now();
    let shares = edge.regions.peers().map(|(index, region)| {
        // The world's word, not ours: what only we cannot reach should not give up its users for us.
        let share = edge.standing_for_world(index, true, now).share;
        (region.name.to_string(), share)
    });
    let record = mesh::Record {
        region: edge.regions.own().name.to_string(),
        instance: edge.state.instance.id(),
        version: edge.state.instance.next_version(),
        draining: edge.drain.has_started(),
        shares: shares.collect(),
        health: edge.world.word(&edge.regions, now),
    };
    let body = serde_json::to_vec(&record).unwrap_or_default();
    fixed(
        StatusCode::OK,
        &HeaderValue::from_static("application/json"),
        &body.into(),
    )
}

/// `Server-Timing` (W3C Server Timing, section 2) in milliseconds: the whole of it here, and the part of
/// it that waited for the cache or an upstream.
fn server_timing(region: &Region, record: &Record, now: Instant) -> Option<HeaderValue> {
    let mut text = ArrayString::<128>::new();
    if let Some((name, since)) = record.waited {
        text.try_push_str(name).ok()?;
        push_milliseconds(&mut text, now.duration_since(since))?;
        text.try_push_str(", ").ok()?;
    }
    text.try_push_str("edge").ok()?;
    push_milliseconds(&mut text, record.headers_after)?;
    text.try_push_str(";desc=").ok()?;
    text.try_push_str(region.name.as_str()).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// `;dur=12.345`, without the formatting machinery, which would take longer than all the rest.
fn push_milliseconds(text: &mut ArrayString<128>, elapsed: Duration) -> Option<()> {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let mut digits = itoa::Buffer::new();
    text.try_push_str(";dur=").ok()?;
    text.try_push_str(digits.format(micros / 1000)).ok()?;
    // A leading 1 keeps the zeroes: 1007 stands for .007.
    text.try_push('.').ok()?;
    text.try_push_str(&digits.format(1000 + micros % 1000)[1..])
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{push_milliseconds, without_port};

    #[test]
    fn milliseconds_have_three_places() {
        for (micros, expected) in [
            (0, ";dur=0.000"),
            (7, ";dur=0.007"),
            (12_345, ";dur=12.345"),
            (60_000_010, ";dur=60000.010"),
        ] {
            let mut text = arrayvec::ArrayString::new();
            push_milliseconds(&mut text, Duration::from_micros(micros)).unwrap();
            assert_eq!(&*text, expected);
        }
    }

    #[test]
    fn a_port_is_not_part_of_the_name() {
        for (host, name) in [
            ("a.test:80", "a.test"),
            ("a.test", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ":80"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
