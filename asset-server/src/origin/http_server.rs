//! An HTTP server as origin.

use bytes::Bytes;
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
    ConnectError, Origin, OriginAnswer, OriginError, OriginObject, OriginRequest, Validator, Want,
    no_body,
};
use crate::config::OriginLimits;

/// RFC 3986 section 3.3: what a path may hold as it is. Everything else is encoded, `%` included.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
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
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    base: String,
}

impl HttpOrigin {
    pub(super) fn new(url: &Uri, limits: &OriginLimits) -> Result<Self, ConnectError> {
        Self::at(url.to_string(), limits)
    }

    /// `base` is what keys are appended to.
    pub(super) fn at(base: String, limits: &OriginLimits) -> Result<Self, ConnectError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect_timeout));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(ConnectError::Roots)?
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.max_concurrency)
            .build(connector);
        Ok(Self { client, base })
    }

    async fn send(
        &self,
        method: Method,
        key: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, OriginError> {
        let uri = format!("{}{}", self.base, utf8_percent_encode(key, PATH));
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri
            .parse()
            .map_err(|_| OriginError::Malformed("the key makes no URL"))?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static("asset-server"));
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        request.headers_mut().remove(HOST); // the client sets it from the URL
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
        mut headers: HeaderMap,
    ) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        Box::pin(async move {
            match request.unless {
                Some(Validator::ETag(etag)) => headers.insert(IF_NONE_MATCH, etag),
                Some(Validator::Date(date)) => headers.insert(IF_MODIFIED_SINCE, date),
                None => None,
            };
            if let Some(etag) = request.only_if {
                headers.insert(IF_MATCH, etag);
            }
            if let Want::Range(range) = &request.want {
                let value = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
                headers.insert(
                    RANGE,
                    HeaderValue::try_from(value).map_err(|_| OriginError::Malformed("a range"))?,
                );
            }
            let head = request.want == Want::Head;
            let method = if head { Method::HEAD } else { Method::GET };
            let (parts, body) = self.send(method, &request.key, headers).await?.into_parts();
            match (parts.status, &request.want) {
                (StatusCode::OK, Want::Head | Want::Body) => {}
                (StatusCode::PARTIAL_CONTENT, Want::Range(range)) => {
                    check_range(&parts.headers, range)?;
                }
                (StatusCode::OK, _) => {
                    return Err(OriginError::Malformed(
                        "a range was answered with the whole",
                    ));
                }
                (StatusCode::NOT_MODIFIED, _) => {
                    return Ok(OriginAnswer::NotModified(parts.headers));
                }
                (StatusCode::NOT_FOUND | StatusCode::GONE, _) => return Ok(OriginAnswer::NotFound),
                (status, _) => return Err(OriginError::of_status(status.as_u16())),
            }
            let length = parts
                .headers
                .get(CONTENT_LENGTH)
                .and_then(|v| v.to_str().ok())
                .and_then(|v| v.parse().ok());
            let body = if head {
                no_body()
            } else {
                BodyDataStream::new(body.map_err(|error| OriginError::Body(error.into()))).boxed()
            };
            Ok(OriginAnswer::Found(OriginObject {
                headers: parts.headers,
                length,
                body,
            }))
        })
    }
}

impl Origin for HttpOrigin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        self.ask(request, HeaderMap::new())
    }

    /// Any answer but a server error will do: what the root of an origin says is its own affair.
    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>> {
        Box::pin(async move {
            let response = self.send(Method::HEAD, "", HeaderMap::new()).await?;
            match response.status() {
                status if status.is_server_error() => Err(OriginError::of_status(status.as_u16())),
                _ => Ok(()),
            }
        })
    }
}

/// Some stores answer a range with other bytes than were asked for.
pub(super) fn check_range(
    headers: &HeaderMap,
    range: &std::ops::Range<u64>,
) -> Result<(), OriginError> {
    let expected = format!("bytes {}-{}/", range.start, range.end.saturating_sub(1));
    match headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok()) {
        Some(value) if value.starts_with(&expected) => Ok(()),
        _ => Err(OriginError::Malformed("another range than was asked for")),
    }
}
