//! One line per request, written when its response has ended, with what happened on the way.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use serving::telemetry::ACCESS;

use crate::admission::Permit;
use crate::forward::ResponseBody;
use crate::gateway::Edge;
use crate::region::{RegionIndex, RegionSet};
use crate::route::Route;
use crate::steering::ClientGroup;
use crate::upstream::Claim;

/// What is remembered of a request until its response has ended.
#[derive(Debug)]
pub struct Record {
    /// When its headers were complete.
    pub start: Instant,
    /// Its id.
    pub id: HeaderValue,
    /// Who asked.
    pub client: IpAddr,
    method: Method,
    uri: Uri,
    version: Version,
    user_agent: Option<HeaderValue>,
    /// Host asked for.
    pub host: HeaderValue,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The route that answered.
    pub route: Option<Arc<Route>>,
    /// The region nearest to the client.
    pub nearest: Option<RegionIndex>,
    /// Where the client comes from.
    pub group: ClientGroup,
    /// Whether another region has carried it here.
    pub carried: bool,
    /// Whether the decision is asked for.
    pub explains: bool,
    /// The decision in a header, for whoever asked for it.
    pub explained: Option<HeaderValue>,
    /// The value of `Alt-Svc`, where the client is told of a better region.
    pub alt_svc: Option<HeaderValue>,
    /// The region that it would be answered in now if all had room.
    pub home: Option<RegionIndex>,
    /// The region that answered.
    pub region: RegionIndex,
    /// The word for the error that we made, if we did.
    pub error: Option<&'static str>,
    /// Held until the end: the place in admission, and the endpoint's.
    pub permit: Option<Permit>,
    /// The endpoint's place.
    pub claim: Option<Claim>,
    /// Whether another region asks how we are, which is not worth a line.
    pub is_check: bool,
    /// What the answer waited for, the cache or an upstream, and since when.
    pub waited: Option<(&'static str, Instant)>,
    /// Time until the response's headers.
    pub headers_after: Duration,
    status: StatusCode,
    cache_status: Option<HeaderValue>,
    sent: u64,
}

impl Record {
    /// The beginning of a request's record. Boxed, because it moves along with the response's body.
    pub fn new(start: Instant, id: HeaderValue, client: IpAddr, region: RegionIndex) -> Box<Self> {
        Box::new(Self {
            start,
            id,
            client,
            method: Method::GET,
            uri: Uri::default(),
            version: Version::HTTP_11,
            user_agent: None,
            host: HeaderValue::from_static(""),
            tls: false,
            route: None,
            nearest: None,
            group: ClientGroup::of(None),
            carried: false,
            explains: false,
            explained: None,
            alt_svc: None,
            home: None,
            region,
            error: None,
            permit: None,
            claim: None,
            is_check: false,
            waited: None,
            headers_after: Duration::ZERO,
            status: StatusCode::OK,
            cache_status: None,
            sent: 0,
        })
    }

    /// Takes over what the log says of the request, once nobody else needs it.
    pub fn take_from(&mut self, mut parts: Parts) {
        self.user_agent = parts.headers.remove(header::USER_AGENT);
        self.method = parts.method;
        self.uri = parts.uri;
        self.version = parts.version;
    }

    /// Ties the record to its response: the line is written when the body has ended or is given up.
    pub fn follow(
        mut self: Box<Self>,
        response: Response<ResponseBody>,
        edge: Arc<Edge>,
    ) -> Response<Recorded> {
        self.status = response.status();
        self.cache_status = response.headers().get("cache-status").cloned();
        response.map(|body| Recorded {
            body,
            record: self,
            edge,
            complete: false,
        })
    }

    fn write(&self, regions: &RegionSet, complete: bool) {
        if self.is_check {
            return;
        }
        let name = |region: RegionIndex| regions.of(region).name.as_str();
        tracing::info!(
            target: ACCESS,
            request_id = str(Some(&self.id)),
            client = %self.client,
            method = self.method.as_str(),
            host = str(Some(&self.host)),
            path = self.uri.path(),
            protocol = protocol(self.version),
            tls = self.tls,
            status = u64::from(self.status.as_u16()),
            bytes = self.sent,
            complete,
            duration_ms = self.start.elapsed().as_secs_f64() * 1000.0,
            headers_ms = self.headers_after.as_secs_f64() * 1000.0,
            route = self.route.as_ref().map_or("", |route| &route.name),
            nearest_region = self.nearest.map_or("", name),
            region = name(self.region),
            cache_status = str(self.cache_status.as_ref()),
            error = self.error.unwrap_or_default(),
            user_agent = str(self.user_agent.as_ref()),
        );
    }
}

fn str(value: Option<&HeaderValue>) -> &str {
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// A response body that knows how much of it was sent.
pub struct Recorded {
    body: ResponseBody,
    record: Box<Record>,
    edge: Arc<Edge>,
    complete: bool,
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // The last frame is often known to be the last, and then nobody asks for another.
                self.complete = self.body.is_end_stream();
            }
            Some(Err(_)) => self.complete = false,
            None => self.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let complete =
            self.complete || self.record.method == Method::HEAD || self.body.is_end_stream();
        self.record.write(&self.edge.regions, complete);
    }
}
