//! THE request path: what happens to a request, in the order in which it happens. `respond` takes it
//! from the listener; `answer` is what may fail; `serve_here` is the last step in this region.
//!
//! It is one function over plain values rather than a stack of boxed services, so that a cached asset
//! costs no allocation per layer and a reader sees the whole path on one page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayString;
use bytes::Bytes;
use http::header::{ALT_SVC, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use serving::listener::Peer;
use serving::problem::{PROXY_STATUS, Problem};

use crate::access_log::{Record, Recorded};
use crate::client_addr::carried_client;
use crate::error::{Error, Retry, Verdict};
use crate::forward::{CARRIED_HOPS, CARRIED_TO, Forwarded, Outgoing, ResponseBody, to_upstream};
use crate::gateway::{Assets, Edge, Settings};
use crate::mesh;
use crate::region::{HEALTH_PATH, Region, RegionIndex};
use crate::request_id::{self, REQUEST_ID};
use crate::rescue;
use crate::route::{Action, Outside, Residency, Route, SteeringMode};
use crate::steering::{Asked, Correction, Decision, Reason, Ways, correct, explain_header};

/// Names the region that answered.
pub const EDGE_REGION: HeaderName = HeaderName::from_static("x-edge-region");
/// Asks for the decision behind the answer, and carries it.
const EDGE_EXPLAIN: HeaderName = HeaderName::from_static("x-edge-explain");
/// Shows that the asker may know.
const EDGE_EXPLAIN_TOKEN: HeaderName = HeaderName::from_static("x-edge-explain-token");
/// Names the alternative that `Alt-Svc` led to, RFC 7838 section 5.
const ALT_USED: HeaderName = HeaderName::from_static("alt-used");
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
    record.is_check = from_region && (path == mesh::EXCHANGE_PATH || path == HEALTH_PATH);
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

/// Another region is better for this client, and nobody has carried the request yet: whatever costs the
/// client least is done, as far as the route allows.
async fn serve_elsewhere(
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

/// Whether this request may know the decision behind its answer. What it shows for it goes no further.
fn may_explain(edge: &Edge, request: &mut Outgoing, hops: u8) -> bool {
    let headers = &mut request.parts.headers;
    if !headers.contains_key(EDGE_EXPLAIN) && !headers.contains_key(EDGE_EXPLAIN_TOKEN) {
        return false;
    }
    let asks = headers.remove(EDGE_EXPLAIN).is_some_and(|asks| asks == "1");
    let shown = headers.remove(EDGE_EXPLAIN_TOKEN);
    let knows = || {
        let shown = shown.as_ref().and_then(|shown| shown.to_str().ok());
        let token = edge.correction.explain_token.as_ref();
        token
            .zip(shown)
            .is_some_and(|(token, shown)| token.matches(shown))
    };
    // The region that the request came to first has decided.
    asks && hops == 0 && (edge.correction.explain_to_all || knows())
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
