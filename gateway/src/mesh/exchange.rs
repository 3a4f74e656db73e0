//! One exchange with another gateway: our record goes, its record comes, in one round trip. Over links
//! with certificates it is a POST and both learn; over plain ones a GET, and only the asker does.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::link::Link;
use super::message::{self, MAX_BYTES, Message, Refusal, Said};
use super::own_record;
use super::path::Path;
use super::state::Heard;
use crate::forward::{Outgoing, RequestBody, ResponseBody};
use crate::gateway::Edge;
use crate::region::{Address, Observation, RegionIndex};

/// Where gateways answer each other.
pub(crate) const PATH: &str = "/.well-known/edge/mesh";

/// That a region answers, and how.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its last word.
    pub record: Arc<Heard>,
    /// The round trip to it: measured just now, or the sum of both links where a third region knows it
    /// to be well and ours is cut.
    pub rtt: Duration,
    /// The third region through which it is reached.
    pub via: Option<RegionIndex>,
}

/// Why an exchange has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("it has no address")]
    NoAddress,
    #[error("no answer in time")]
    TimedOut,
    #[error("{}", chain(.0))]
    Send(#[source] hyper_util::client::legacy::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("what it says cannot be read: {0}")]
    Refused(&'static str),
}

/// An error and all its causes in one line: the innermost names the certificate.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Exchanges records with a region, or says what was seen where neither it answers nor a third region
/// reaches it.
pub async fn exchange(edge: &Edge, index: RegionIndex) -> Result<Answer, Observation> {
    let link = edge.mesh.of(index);
    let started = Instant::now();
    edge.mesh.asked(index, started);
    let mut asking = pin!(timeout(edge.health_check.timeout, ask(edge, link, index)));
    let answered = match timeout(link.quality().patience(), asking.as_mut()).await {
        Ok(answered) => answered,
        Err(_) => {
            // Whether it is slow or gone, requests should not wait to find out.
            let now = Instant::now();
            edge.mesh.choose_paths(&edge.regions, &edge.state, now);
            asking.await
        }
    };
    let now = Instant::now();
    let rtt = now.duration_since(started);
    let mut seen = Observation::Failed;
    match answered.unwrap_or(Err(ExchangeError::TimedOut)) {
        Ok(()) => edge.mesh.answered(index, rtt),
        Err(error) => {
            let unreachable = matches!(&error, ExchangeError::Send(error) if error.is_connect());
            note(edge, index, link, &error);
            edge.mesh.failed(index, unreachable);
            if unreachable {
                seen = Observation::Unreachable;
            }
        }
    }
    edge.mesh.choose_paths(&edge.regions, &edge.state, now);
    edge.metrics.mesh.link(index, link, edge.mesh.path(index));
    let record = edge.state.heard(index).ok_or(seen)?;
    if link.quality().rtt().is_some() {
        let via = None;
        return Ok(Answer { record, rtt, via });
    }
    let Some(Path::Via(via)) = edge.mesh.path(index) else {
        return Err(seen);
    };
    let rtt = edge
        .mesh
        .rtt_through(via, index, &edge.regions, &edge.state, now)
        .ok_or(seen)?;
    let via = Some(via);
    Ok(Answer { record, rtt, via })
}

/// Says why a link fails, once for each reason.
fn note(edge: &Edge, index: RegionIndex, link: &Link, error: &ExchangeError) {
    let reason = error.to_string();
    let said = link.trouble.load();
    // Some reasons end with the time.
    let is_same = |said: &str| said.split(digit).next() == reason.split(digit).next();
    if said.as_ref().is_none_or(|said| !is_same(said)) {
        let region = &edge.regions.of(index).name;
        tracing::warn!(%region, %reason, "a region does not answer");
        link.trouble.store(Some(Arc::new(reason)));
    }
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

async fn ask(edge: &Edge, link: &Link, index: RegionIndex) -> Result<(), ExchangeError> {
    let address = link.address.as_ref().ok_or(ExchangeError::NoAddress)?;
    ask_at(edge, link, address, index).await
}

/// Asks one address of a region.
pub(super) async fn ask_at(
    edge: &Edge,
    link: &Link,
    address: &Address,
    index: RegionIndex,
) -> Result<(), ExchangeError> {
    let uri = Uri::builder()
        .scheme(address.scheme.clone())
        .authority(address.authority.clone())
        .path_and_query(PATH)
        .build()
        .map_err(|_| ExchangeError::NoAddress)?;
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = uri;
    if link.mutual {
        let ours = message::ours(edge, &[], Instant::now());
        let json = serde_json::to_vec(&ours).unwrap_or_default();
        *request.method_mut() = Method::POST;
        *request.body_mut() = RequestBody::Full(Some(json.into()));
    }
    let response = link.clients().http2.request(request).await;
    let response = response.map_err(ExchangeError::Send)?;
    if response.status() != StatusCode::OK {
        return Err(ExchangeError::Status(response.status()));
    }
    let refused = |refusal: Refusal, detail: &dyn std::fmt::Display| {
        message::refuse(edge, index, refusal, detail);
        ExchangeError::Refused(refusal.as_str())
    };
    let bytes = collect(response.into_body())
        .await
        .map_err(|refusal| refused(refusal, &""))?;
    let parsed = if link.mutual {
        message::parse(&bytes)
    } else {
        serde_json::from_slice(&bytes).map(|record| Message {
            records: vec![Said { age_ms: 0, record }],
            ..Message::default()
        })
    };
    let theirs = parsed.map_err(|error| refused(Refusal::Malformed, &error))?;
    // Another region behind this address is a mistake that must not look like health.
    if message::take_in(edge, index, theirs, Instant::now()) {
        Ok(())
    } else {
        Err(ExchangeError::Refused("it does not speak for this region"))
    }
}

async fn collect<B: Body<Data = Bytes>>(body: B) -> Result<Bytes, Refusal>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, MAX_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::Malformed),
    }
}

/// Answers another gateway. `from` is whom its certificate names; without one it may ask, not tell.
pub(crate) async fn answer(
    edge: &Edge,
    from: Option<RegionIndex>,
    request: &Outgoing,
) -> Response<ResponseBody> {
    let now = Instant::now();
    let Some(from) = from.filter(|_| request.parts.method == Method::POST) else {
        return json(serde_json::to_vec(&own_record(edge)));
    };
    let body = timeout(edge.health_check.timeout, collect(request.own_body())).await;
    let refuse = |refusal, status, detail: &dyn std::fmt::Display| {
        message::refuse(edge, from, refusal, detail);
        let mut response = Response::new(ResponseBody::Full(None));
        *response.status_mut() = status;
        response
    };
    let bytes = match body {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(Refusal::TooLarge)) => {
            return refuse(Refusal::TooLarge, StatusCode::PAYLOAD_TOO_LARGE, &"");
        }
        Ok(Err(refusal)) => return refuse(refusal, StatusCode::BAD_REQUEST, &""),
        Err(_) => return refuse(Refusal::Malformed, StatusCode::REQUEST_TIMEOUT, &""),
    };
    let theirs = match message::parse(&bytes) {
        Ok(theirs) => theirs,
        Err(error) => return refuse(Refusal::Malformed, StatusCode::BAD_REQUEST, &error),
    };
    let missing = theirs.missing.clone();
    message::take_in(edge, from, theirs, now);
    json(serde_json::to_vec(&message::ours(edge, &missing, now)))
}

fn json(body: serde_json::Result<Vec<u8>>) -> Response<ResponseBody> {
    let body = Bytes::from(body.unwrap_or_default());
    let mut response = Response::new(ResponseBody::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
