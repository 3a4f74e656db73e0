//! Clients of one protocol each, which send what they are told and nothing else.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use crate::{case, matcher, proxy};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What client and cache speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/2 over TLS, agreed by ALPN.
    #[serde(rename = "http2")]
    TlsHttp2,
}

impl Protocol {
    /// As it stands in paths and reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::TlsHttp2 => "tls-http2",
        }
    }
}

/// An answer as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What arrived of the body.
    pub(crate) body: Bytes,
    /// The body broke off.
    pub(crate) cut: bool,
    /// The stream was reset before anyone had looked at the head, which HTTP/2 clients then drop.
    pub(crate) head_lost: bool,
}

/// A client of one protocol.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new(protocol: Protocol, address: SocketAddr, roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(proxy::NAME).expect("a name");
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .with_server_name_resolver(FixedServerNameResolver::new(name));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.retry_canceled_requests(false);
        let (scheme, client) = match protocol {
            // A connection for each request: one that is going away costs no case.
            Protocol::Http1 => (
                "http",
                builder
                    .pool_max_idle_per_host(0)
                    .build(connector.enable_http1().build()),
            ),
            Protocol::TlsHttp2 => (
                "https",
                builder
                    .http2_only(true)
                    .build(connector.enable_http2().build()),
            ),
        };
        Self {
            base: format!("{scheme}://{address}"),
            client,
        }
    }

    /// Sends one request and receives the whole answer.
    pub(crate) async fn send(
        &self,
        path: &str,
        written: &case::Request,
        now: SystemTime,
    ) -> Result<Received, String> {
        match tokio::time::timeout(DEADLINE, self.exchange(path, written, now)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no whole answer in {DEADLINE:?}")),
        }
    }

    async fn exchange(
        &self,
        path: &str,
        written: &case::Request,
        now: SystemTime,
    ) -> Result<Received, String> {
        let body = Bytes::from(written.body.clone().unwrap_or_default());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::try_from(written.method.as_str()).expect("a method");
        let uri = format!("{}{path}{}", self.base, written.path);
        *request.uri_mut() = Uri::try_from(uri).expect("a path");
        matcher::write(request.headers_mut(), &written.headers, now);
        let (parts, mut body) = match self.client.request(request).await {
            Ok(answer) => answer.into_parts(),
            Err(error) => {
                let text = format!("{error:?}");
                return match text.contains("Reset(StreamId") {
                    true => Ok(Received {
                        status: StatusCode::OK,
                        headers: HeaderMap::new(),
                        body: Bytes::new(),
                        cut: true,
                        head_lost: true,
                    }),
                    false => Err(format!("no answer: {text}")),
                };
            }
        };
        let (mut bytes, mut cut) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(_trailers)) => {}
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        Ok(Received {
            status: parts.status,
            headers: parts.headers,
            body: bytes.into(),
            cut,
            head_lost: false,
        })
    }
}
