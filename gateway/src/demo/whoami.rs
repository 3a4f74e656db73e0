//! A replica that says who it is and what reached it: the plainest way to see where a request went and
//! what the edge made of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderMap, HeaderValue};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};

use super::local_server::LocalServer;

/// One replica on a free port of loopback; it ends when this value is dropped.
#[derive(Debug)]
pub struct Whoami {
    host_name: Arc<str>,
    server: LocalServer<TowerToHyperService<Router>>,
}

/// What a replica answers to `/whoami` and anything below it, whatever the method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoamiAnswer {
    /// Which replica answered.
    pub host_name: String,
    /// The request's method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its HTTP version as it arrived here.
    pub version: String,
    /// Its headers: name → values in their order.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl Whoami {
    /// Starts the replica called `host_name`.
    pub async fn start(host_name: &str) -> io::Result<Self> {
        let host_name: Arc<str> = host_name.into();
        let router = Router::new()
            .route("/whoami", any(answer))
            .route("/whoami/{*rest}", any(answer))
            .route("/healthz", get(async || "ok\n"))
            .with_state(Arc::clone(&host_name));
        let server = LocalServer::start(0, TowerToHyperService::new(router)).await?;
        Ok(Self { host_name, server })
    }

    /// What it calls itself.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// Where it listens, also while stopped.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Ends it as a crash would: connections are refused, and open ones are cut.
    pub async fn stop(&self) -> io::Result<()> {
        self.server.stop().await
    }

    /// Brings it back on the same port.
    pub async fn restart(&self) -> io::Result<()> {
        self.server.restart().await
    }
}

async fn answer(
    State(host_name): State<Arc<str>>,
    request: Request,
) -> ([(HeaderName, HeaderValue); 1], Json<WhoamiAnswer>) {
    let answer = WhoamiAnswer {
        host_name: host_name.to_string(),
        method: request.method().to_string(),
        path: request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
        version: format!("{:?}", request.version()),
        headers: by_name(request.headers()),
    };
    // Every answer is about one request, so none may be reused for another.
    (
        [(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        Json(answer),
    )
}

fn by_name(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut named = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        named.entry(name.to_string()).or_default().push(value);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::test_client::request;
    use super::*;

    #[tokio::test]
    async fn it_names_itself_and_repeats_what_it_received() {
        let replica = Whoami::start("whoami-2").await.unwrap();
        let asked = http::Request::post("/whoami/deep?x=1")
            .header("x-tag", "a")
            .header("x-tag", "b");
        let response = request(replica.addr(), asked.body(String::new()).unwrap()).await;
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");

        let answer: WhoamiAnswer = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (answer.host_name.as_str(), answer.method.as_str()),
            ("whoami-2", "POST")
        );
        assert_eq!(
            (answer.path.as_str(), answer.version.as_str()),
            ("/whoami/deep?x=1", "HTTP/1.1")
        );
        assert_eq!(answer.headers["x-tag"], ["a", "b"]);
    }
}
