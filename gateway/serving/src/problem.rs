//! Errors that we make, as `application/problem+json` (RFC 9457) with `Proxy-Status` (RFC 9209).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

/// `Proxy-Status`, RFC 9209 section 2.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// One error answer, before it becomes a response.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// Status of the response.
    pub status: StatusCode,
    /// One word for it, the same in logs, metrics and the body.
    pub reason: &'static str,
    /// A sentence for the client: what happened and what to do. Never an upstream's address.
    pub detail: &'a str,
    /// Identifies the request in our logs.
    pub request_id: &'a str,
    /// Who says so: the region or server name that `Proxy-Status` starts with.
    pub proxy: &'a str,
    /// Error type of RFC 9209 section 2.3, where one fits.
    pub proxy_error: Option<&'static str>,
}

impl Problem<'_> {
    /// The complete response. Problems are never stored by caches.
    pub fn into_response(self) -> Response<Bytes> {
        let body = Bytes::from(
            json!({
                "type": "about:blank",
                "title": self.status.canonical_reason().unwrap_or("Error"),
                "status": self.status.as_u16(),
                "reason": self.reason,
                "detail": self.detail,
                "request_id": self.request_id,
            })
            .to_string(),
        );
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(error) = self.proxy_error
            && let Ok(value) = HeaderValue::try_from(format!("{}; error={error}", self.proxy))
        {
            headers.insert(PROXY_STATUS, value);
        }
        response
    }
}
