//! How the certificate authority is reached: over our own TLS settings, with a time limit and a bound on
//! what it may send, and with an ear for `Retry-After`, which the ACME library does not pass on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::upstream::Roots;

/// For the head of one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Directories, orders and chains are a few KiB.
const MOST_BYTES: usize = 1 << 20;

/// A client of one authority. Clones share connections and what was heard.
#[derive(Clone)]
pub(super) struct AcmeClient {
    http: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    retry_after_ms: Arc<AtomicU64>,
}

impl AcmeClient {
    /// A client that trusts `roots`.
    pub(super) fn new(roots: &Roots) -> Self {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1();
        Self {
            http: Client::builder(TokioExecutor::new()).build(https.build()),
            retry_after_ms: Arc::default(),
        }
    }

    /// The `Retry-After` of the last refusal, once.
    pub(super) fn take_retry_after(&self) -> Option<Duration> {
        match self.retry_after_ms.swap(0, Ordering::Relaxed) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.http.request(request);
        let retry_after_ms = self.retry_after_ms.clone();
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, answer)
                .await
                .map_err(|_| Error::Other("the authority does not answer".into()))?
                .map_err(|error| Error::Other(Box::new(error)))?;
            if answer.status().as_u16() >= 400 {
                let asked = retry_after(answer.headers(), SystemTime::now()).unwrap_or_default();
                let millis = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
                retry_after_ms.store(millis, Ordering::Relaxed);
            }
            let (parts, body) = answer.into_parts();
            Ok(Response::from_parts(parts, Limited::new(body, MOST_BYTES)).into())
        })
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            read("Sun, 09 Sep 2001 01:47:40 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(read("Sun, 09 Sep 2001 01:46:00 GMT"), None);
        for hostile in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(read(hostile), None, "{hostile}");
        }
    }
}
