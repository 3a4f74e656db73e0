//! Asks the admin API of another instance: for purges between peers, and for the command line.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serving::secret::Secret;

/// Longest answer that is read, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// A client of admin listeners. Connections are kept for the next time.
#[derive(Clone, Debug)]
pub struct AdminClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    token: Option<HeaderValue>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// URL or token cannot be sent.
    #[error("the address or the token cannot be used")]
    Unusable,
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing in time.
    #[error("no answer in {0:?}")]
    Timeout(Duration),
}

impl AdminClient {
    /// A client that shows this token. It fails where the system's certificate authorities cannot be
    /// read.
    pub fn new(token: Option<&Secret>) -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(2)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        let token = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self { client, token })
    }

    /// Posts JSON, and reads the answer. `url` is that of an admin listener and a path.
    pub async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), AdminError> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| AdminError::Unusable)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let answered = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|e| AdminError::Unreachable(root(&e)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|e| AdminError::Unreachable(root(&*e)))?;
            Ok((parts.status, body.to_bytes()))
        };
        tokio::time::timeout(limit, answered)
            .await
            .unwrap_or(Err(AdminError::Timeout(limit)))
    }
}

/// The innermost cause says what an operator needs: "connection refused".
fn root(
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Box<dyn std::error::Error + Send + Sync> {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text.into()
}
