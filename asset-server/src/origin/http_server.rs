//! An HTTP server as origin.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, RANGE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyDataStream, BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Asked, ConnectError, Forward, Origin, OriginAnswer, OriginBody, OriginError, OriginObject,
    OriginRequest, RequestBody, Validator, Want, no_body,
};
use crate::config::OriginLimits;

/// RFC 3986 section 3.3: what a path may hold as it is. Everything else is encoded, `%` included.
pub(crate) const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

pub(super) struct HttpOrigin {
    client: HttpClient,
    base: String,
}

impl HttpOrigin {
    pub(super) fn new(url: &Uri, limits: &OriginLimits) -> Result<Self, ConnectError> {
        Self::at(url.to_string(), limits)
    }

    /// `base` is what keys are appended to.
    pub(super) fn at(base: String, limits: &OriginLimits) -> Result<Self, ConnectError> {
        let client = client(limits.connect_timeout, limits.max_concurrency)?;
        Ok(Self { client, base })
    }

    /// Host and `User-Agent` are ours unless the client's request goes on; the body is streamed.
    async fn send(
        &self,
        method: Method,
        key: &str,
        asked: &Asked,
        own: HeaderMap,
        body: RequestBody,
    ) -> Result<Response<Incoming>, OriginError> {
        let mut uri = format!("{}{}", self.base, utf8_percent_encode(key, PATH));
        if let Some(query) = &asked.query {
            uri.push('?');
            uri.push_str(query);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri
            .parse()
            .map_err(|_| OriginError::Malformed("the key makes no URL"))?;
        let headers = request.headers_mut();
        *headers = asked.headers.clone();
        headers.extend(own);
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static("asset-server"));
        headers.remove(HOST); // the client sets it from the URL
        self.client
            .request(request)
            .await
            .map_err(|error| OriginError::Unreachable(error.into()))
    }
}

impl HttpOrigin {
    /// Asks for one object, with headers of the caller's beside those that the request means.
    pub(super) fn ask(
        &self,
        request: OriginRequest,
        mut own: HeaderMap,
    ) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        Box::pin(async move {
            if !request.asked.headers.contains_key(ACCEPT_ENCODING) {
                own.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            let conditional = request.unless.is_some();
            if let Some(Validator { etag, date }) = request.unless {
                own.extend(etag.map(|etag| (IF_NONE_MATCH, etag)));
                own.extend(date.map(|date| (IF_MODIFIED_SINCE, date)));
            }
            let bound = request.only_if.is_some();
            if let Some(etag) = request.only_if {
                own.insert(IF_MATCH, etag);
            }
            if let Want::Range(range) = &request.want {
                let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
                own.insert(
                    RANGE,
                    HeaderValue::try_from(value).map_err(|_| OriginError::Malformed("a range"))?,
                );
            }
            let head = request.want == Want::Head;
            let method = if head { Method::HEAD } else { Method::GET };
            let sent = self.send(method, &request.key, &request.asked, own, no_request_body());
            let object = object(sent.await?, head);
            match (object.status, &request.want) {
                (StatusCode::NOT_MODIFIED, _) if conditional => {
                    Ok(OriginAnswer::NotModified(object.headers))
                }
                (StatusCode::PRECONDITION_FAILED, _) if bound => Err(OriginError::Changed),
                (StatusCode::PARTIAL_CONTENT, Want::Range(range)) => {
                    check_range(&object.headers, range)?;
                    Ok(OriginAnswer::Found(object))
                }
                (StatusCode::OK, Want::Range(_)) if bound => Err(OriginError::Malformed(
                    "a range was answered with the whole",
                )),
                (StatusCode::OK, Want::Range(_)) | (_, Want::Head | Want::Body) => {
                    Ok(OriginAnswer::Found(object))
                }
                (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Ok(OriginAnswer::NotFound),
                (status, Want::Range(_)) => Err(failure(status, &object.headers)),
            }
        })
    }
}

impl Origin for HttpOrigin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        self.ask(request, HeaderMap::new())
    }

    fn forward(&self, request: Forward) -> BoxFuture<'_, Result<OriginObject, OriginError>> {
        Box::pin(async move {
            let head = request.method == Method::HEAD;
            let Forward {
                method,
                key,
                asked,
                body,
            } = request;
            let sent = self.send(method, &key, &asked, HeaderMap::new(), body);
            Ok(object(sent.await?, head))
        })
    }

    /// Any answer but a server error will do: what the root of an origin says is its own affair.
    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>> {
        Box::pin(async move {
            let response = self
                .send(
                    Method::HEAD,
                    "",
                    &Asked::default(),
                    HeaderMap::new(),
                    no_request_body(),
                )
                .await?;
            match response.status() {
                status if status.is_server_error() => Err(failure(status, response.headers())),
                _ => Ok(()),
            }
        })
    }
}

fn object(response: Response<Incoming>, head: bool) -> OriginObject {
    let (parts, body) = response.into_parts();
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok());
    // RFC 9110 section 6.4.1: these have no content, whatever their headers say.
    let empty = head || matches!(parts.status.as_u16(), 204 | 304);
    let body: OriginBody = match empty {
        true => no_body(),
        false => BodyDataStream::new(body.map_err(|error| OriginError::Body(error.into()))).boxed(),
    };
    OriginObject {
        status: parts.status,
        headers: parts.headers,
        length: if empty && !head { Some(0) } else { length },
        body,
    }
}

pub(crate) fn no_request_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn failure(status: StatusCode, headers: &HeaderMap) -> OriginError {
    OriginError::of_status(status.as_u16(), super::retry_after_of(headers))
}

/// What asks an HTTP server: an origin, or a cache that is to be warmed.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, RequestBody>;

/// A client that keeps up to `idle` connections to each host.
pub(crate) fn client(
    connect_timeout: std::time::Duration,
    idle: usize,
) -> Result<HttpClient, ConnectError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(ConnectError::Roots)?
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(idle)
        .build(connector))
}

/// Some stores answer a range with other bytes than were asked for.
pub(super) fn check_range(
    headers: &HeaderMap,
    range: &std::ops::Range<u64>,
) -> Result<(), OriginError> {
    let expected = format!("bytes {}-{}/", range.start, range.end.saturating_sub(1));
    let start = format!("bytes {}-", range.start);
    match headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok()) {
        Some(value) if value.starts_with(&expected) => Ok(()),
        // RFC 9110 section 14.1.2: a range that ends beyond the object ends with it.
        Some(value) if value.starts_with(&start) && ends_with_object(value, range) => Ok(()),
        _ => Err(OriginError::Malformed("another range than was asked for")),
    }
}

/// Whether a `Content-Range` ends where its object does, and before the range that was asked for.
fn ends_with_object(content_range: &str, range: &std::ops::Range<u64>) -> bool {
    let last_and_total = content_range
        .rsplit_once('-')
        .and_then(|(_, rest)| rest.split_once('/'));
    let parsed = last_and_total
        .and_then(|(last, total)| Some((last.parse::<u64>().ok()?, total.parse::<u64>().ok()?)));
    parsed.is_some_and(|(last, total)| last.checked_add(1) == Some(total) && total < range.end)
}
