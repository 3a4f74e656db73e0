//! THE request path: what happens to a request, in the order in which it happens. `respond` takes it
//! from the listener; `answer` is what may fail; `serve_here` is the last step in this region.
//!
//! It is one function over plain values rather than a stack of boxed services, so that a cached asset
//! costs no allocation per layer and a reader sees the whole path on one page.

mod elsewhere;

mod explain;

mod server_timing;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALT_SVC, CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use serving::listener::Peer;
use serving::problem::Problem;

use self::elsewhere::serve_elsewhere;
use self::explain::{EDGE_EXPLAIN, may_explain};
use self::server_timing::server_timing;
use crate::access_log::{Record, Recorded};
use crate::client_addr::carried_client;
use crate::error::{Error, Verdict};
use crate::forward::{CARRIED_HOPS, CARRIED_TO, Forwarded, Outgoing, ResponseBody, to_upstream};
use crate::gateway::{Assets, Edge, Settings};
use crate::mesh;
use crate::region::RegionIndex;
use crate::request_id::{self, REQUEST_ID};
use crate::rescue;
use crate::route::{Action, Outside, Route, SteeringMode};
use crate::steering::{Correction, explain_header};

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
    // A region is who its certificate names, else who comes from a listed network.
    let region = peer
        .client
        .and_then(|client| u8::try_from(client.0).ok())
        .map(RegionIndex);
    let from_region = region.is_some() || settings.peers.contains(ip);
    let hops = if from_region { hops(&request.parts) } else { 0 };
    let carried = carried_client(&request.parts.headers).filter(|_| region.is_some() && hops > 0);
    let client =
        carried.unwrap_or_else(|| settings.trusted_proxies.client(ip, &request.parts.headers));
    let trusted = from_region || settings.trusted_proxies.contains(ip);
    let id = request_id::of(&request.parts.headers, trusted);

    // From here on every request leaves a line in the log, however it ends.
    let mut record = Record::new(start, id, client, edge.regions.own_index());
    record.carried = hops > 0;
    record.tls = if hops > 0 {
        Forwarded::carried_tls(&request.parts.headers)
    } else {
        peer.tls
    };

    let path = request.parts.uri.path();
    record.is_check = from_region && path == mesh::EXCHANGE_PATH;
    let from = From { region, hops };

    // From here down anything may fail; from here up there is always a response.
    let answered =
        rescue::from_panic(answer(&edge, &settings, &mut request, from, &mut record)).await;
    let response = answered.unwrap_or_else(|error| problem(&edge, &error, &mut record));
    record.take_from(request.parts);
    finish(edge, response, record)
}

/// The region that sent a request, if one did.
#[derive(Clone, Copy)]
struct From {
    /// Which, where its certificate says so.
    region: Option<RegionIndex>,
    /// How often the request has been carried.
    hops: u8,
}

/// From admission to the first byte of the answer.
async fn answer(
    edge: &Edge,
    settings: &Settings,
    request: &mut Outgoing,
    from: From,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let hops = from.hops;
    // What regions tell each other is never refused for want of room.
    if let Some(region) = from
        .region
        .filter(|_| request.parts.uri.path() == mesh::PURGE_PATH)
    {
        return Ok(Box::pin(mesh::answer_purge(edge, region, request)).await);
    }
    if record.is_check {
        return Ok(Box::pin(mesh::answer(edge, from.region, request)).await);
    }
    // May this request enter?
    record.permit = Some(edge.admission.enter()?);
    if hops > MAX_HOPS {
        return Err(Error::Loop);
    }

    // Is it for another region, which the sender cannot reach, or not as quickly?
    record.host = host(&request.parts, hops > 0)?;
    if let Some(to) = destination(edge, from, &request.parts)? {
        return Box::pin(relay(edge, to, hops, request, record)).await;
    }

    // Host, path, method, headers -> route.
    let parts = &request.parts;
    let name = without_port(record.host.to_str().map_err(|_| Error::InvalidHost)?);
    let route = settings
        .routes
        .find(name, parts.uri.path(), &parts.method, &parts.headers)
        .ok_or(Error::NoRoute)?;
    record.route = Some(route.clone());
    let rules = settings.rules(Some(route), record.host.to_str().unwrap_or_default());
    let own = edge.regions.own_index();
    let is_carried_on = hops == 0
        && route.action.is_steered()
        && route.steering != SteeringMode::Here
        && rules.residency.outside == Outside::Carry;
    // What must not be here is not answered here, whatever it is; at most it passes through.
    if !rules.residency.allows(own) && !is_carried_on {
        return Err(Error::Residency);
    }
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
    let decision = edge.steer(record.client, &rules, record.start);
    record.nearest = decision.ideal;
    record.group = decision.group;
    record.home = decision.home;
    if decision.best().is_none() && !rules.residency.allows(own) {
        return Err(Error::Residency);
    }
    let explains = may_explain(edge, request, hops);
    let here = hops > 0 || route.steering == SteeringMode::Here || decision.best() == Some(own);
    if here {
        if explains {
            record.explained = explain_header(&edge.regions, &decision, Correction::Here);
        }
        return serve_here(edge, route, request, record).await;
    }
    record.explains = explains;
    // Boxed, so that requests that stay do not carry the room that those that leave need.
    let residency = rules.residency;
    Box::pin(serve_elsewhere(
        edge, route, &decision, &residency, request, record,
    ))
    .await
}

/// The region that a carried request is for, if that is not ours.
fn destination(edge: &Edge, from: From, parts: &Parts) -> Result<Option<RegionIndex>, Error> {
    let named = parts.headers.get(CARRIED_TO);
    let Some(named) = named.filter(|_| from.region.is_some() && from.hops > 0) else {
        return Ok(None);
    };
    let named = named.to_str().ok().and_then(|name| edge.regions.find(name));
    let to = named.ok_or(Error::NoUsableRegion)?;
    Ok(Some(to).filter(|to| *to != edge.regions.own_index()))
}

/// We are the third region on the way from one to another.
async fn relay(
    edge: &Edge,
    to: RegionIndex,
    hops: u8,
    request: &mut Outgoing,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let forwarded = forwarded(edge, record);
    if forwarded.has_passed(&request.parts.headers) {
        return Err(Error::Loop);
    }
    record.region = to;
    Ok(mesh::relay(edge, to, hops.saturating_add(1), request, &forwarded).await)
}

/// The last step: this region answers.
async fn serve_here(
    edge: &Edge,
    route: &Route,
    request: &mut Outgoing,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    let home = record.home.unwrap_or(edge.regions.own_index());
    if let Some(permit) = &mut record.permit {
        permit.serve_for(home);
    }
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
    if let Some(explained) = record.explained.take() {
        headers.insert(EDGE_EXPLAIN, explained);
    }
    if let Some(alt_svc) = record.alt_svc.take() {
        headers.insert(ALT_SVC, alt_svc);
    }
    if let Some(route) = &record.route {
        route.metrics.count(response.status());
        if route.action.is_steered() {
            edge.metrics
                .response(record.nearest, record.region, record.headers_after);
            // Where the client came in, and there alone.
            if !record.carried {
                edge.metrics
                    .steered(record.group, record.nearest, record.region);
            }
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

#[cfg(test)]
mod tests {
    use super::without_port;

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
