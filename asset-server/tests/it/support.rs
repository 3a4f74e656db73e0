//! A server in three lines: an origin, an asset server in front of it, a question.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asset_server::config::{
    Addressing, Config, Credentials, Disk, Memory, Mount, Origin, OriginLimits, PurgeEverywhere,
    S3, Slicing,
};
use asset_server::{AssetBody, AssetServer};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus::Registry;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serving::secret::Secret;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) type OriginResponse = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

// === origins ===

/// An HTTP server that counts what it is asked and answers as a test says.
pub(crate) struct TestOrigin {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    server: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<(Method, String, HeaderMap)>>);

impl Seen {
    /// Requests for objects with this method; checks of the origin as a whole do not count.
    pub(crate) fn count(&self, method: &Method, path: &str) -> usize {
        self.0
            .lock()
            .expect("sound")
            .iter()
            .filter(|(m, p, _)| m == method && p == path)
            .count()
    }

    /// All requests so far.
    pub(crate) fn total(&self) -> usize {
        self.0.lock().expect("sound").len()
    }

    pub(crate) fn last(&self, path: &str) -> HeaderMap {
        self.0
            .lock()
            .expect("sound")
            .iter()
            .rev()
            .find(|(_, p, _)| p == path)
            .expect("a request")
            .2
            .clone()
    }
}

impl TestOrigin {
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = OriginResponse> + Send + 'static,
    {
        Self::start_on("127.0.0.1:0".parse().expect("sound"), answer).await
    }

    pub(crate) async fn start_on<F, R>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = OriginResponse> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let (answer, counted) = (Arc::new(answer), seen.clone());
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, counted) = (answer.clone(), counted.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let line = (
                        request.method().clone(),
                        request.uri().path().to_owned(),
                        request.headers().clone(),
                    );
                    counted.0.lock().expect("no panic").push(line);
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                connections.spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self {
            address,
            seen,
            server,
        }
    }

    /// The server is gone, connections included.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.server.abort();
        let _ = (&mut self.server).await;
        self.address
    }

    pub(crate) fn config(&self) -> Origin {
        Origin::Http {
            url: format!("http://{}/", self.address).parse().expect("a URL"),
        }
    }

    /// The same server, asked as an S3 store with the bucket `assets`.
    pub(crate) fn s3_config(&self) -> Origin {
        self.s3_config_of("assets", "secret")
    }

    fn s3_config_of(&self, bucket: &str, secret: &str) -> Origin {
        Origin::S3(S3 {
            endpoint: format!("http://{}", self.address),
            region: "us-east-1".into(),
            bucket: bucket.into(),
            prefix: String::new(),
            addressing: Addressing::Path,
            credentials: Credentials::Static {
                access_key: "key".into(),
                secret_key: Secret::new(secret),
            },
        })
    }
}

impl Drop for TestOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A complete answer.
pub(crate) fn ok(headers: &[(&str, &str)], body: impl Into<Bytes>) -> OriginResponse {
    let mut response = Response::new(
        Full::new(body.into())
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    for (name, value) in headers {
        response.headers_mut().append(
            name.parse::<HeaderName>().expect("a name"),
            value.parse().expect("a value"),
        );
    }
    response
}

pub(crate) fn status(status: u16) -> OriginResponse {
    let mut response = ok(&[], "");
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

/// An object as an S3 store answers the first range of it, or all.
pub(crate) fn s3_object(request: &HeaderMap, object: &'static str) -> OriginResponse {
    let range = format!("bytes 0-{}/{}", object.len() - 1, object.len());
    let etag = ("etag", "\"v1\"");
    if header(request, "range").is_empty() {
        return ok(&[etag], object);
    }
    let mut response = ok(&[etag, ("content-range", &range)], object);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
}

/// A real S3 protocol store over a directory, with authentication.
pub(crate) struct Store {
    pub(crate) origin: TestOrigin,
    root: TempDir,
}

impl Store {
    pub(crate) async fn start() -> Self {
        let root = TempDir::new().expect("a directory");
        std::fs::create_dir(root.path().join("assets")).expect("a bucket");
        let mut builder =
            S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("a store"));
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let origin = TestOrigin::start(move |request| {
            let service = service.clone();
            async move {
                // As real stores do, it finishes what it has begun when the client has left.
                let answering = tokio::spawn(async move {
                    let request = request.map(s3s::Body::from);
                    service.call(request).await.expect("an answer")
                });
                let answered = answering.await.expect("no panic");
                answered.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
            }
        })
        .await;
        Self { origin, root }
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        let path = self.root.path().join("assets").join(key);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, body).expect("a file");
    }

    /// What the store holds under a key.
    pub(crate) fn read(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.path().join("assets").join(key)).ok()
    }

    pub(crate) fn config(&self) -> Origin {
        self.config_of("assets", "secret")
    }

    pub(crate) fn config_of(&self, bucket: &str, secret: &str) -> Origin {
        self.origin.s3_config_of(bucket, secret)
    }

    pub(crate) fn gets(&self, key: &str) -> usize {
        self.origin
            .seen
            .count(&Method::GET, &format!("/assets/{key}"))
    }
}

// === the asset server ===

pub(crate) fn config(origin: Origin) -> Config {
    Config {
        region: "test".into(),
        mounts: vec![Mount {
            negative_ttl: Duration::from_secs(60),
            stale_if_error: Duration::from_secs(3600),
            ..Mount::new("/assets/", origin)
        }],
        memory: Memory {
            size: 128 << 20,
            max_object: 64 << 20,
        },
        disk: None,
        signing: None,
        origin: OriginLimits {
            max_concurrency: 64,
            min_concurrency: 4,
            requests_per_second: 0,
            burst: 1,
            attempts: 2,
            retry_percent: 20,
            breaker_failures: 5,
            connect_timeout: Duration::from_secs(2),
            first_byte_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            check_interval: Duration::from_millis(50),
        },
        slices: Slicing {
            size: 4 << 20,
            read_ahead: 4,
        },
        purge: PurgeEverywhere::default(),
    }
}

pub(crate) fn with_disk(mut config: Config, path: &Path) -> Config {
    config.disk = Some(Disk {
        path: path.to_owned(),
        size: 1 << 30,
    });
    config
}

pub(crate) async fn start(config: Config) -> AssetServer {
    AssetServer::start(config, &Registry::new())
        .await
        .expect("a server")
}

pub(crate) async fn ask(
    server: &AssetServer,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<AssetBody> {
    ask_as(server, Method::GET, path, headers).await
}

pub(crate) async fn ask_as(
    server: &AssetServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<AssetBody> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    server.respond(&parts, no_body).await
}

pub(crate) fn no_body() -> asset_server::RequestBody {
    asset_server::request_body(http_body_util::Empty::new())
}

/// Status, headers and the whole body.
pub(crate) async fn get(
    server: &AssetServer,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let (parts, body) = ask(server, path, headers).await.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (parts.status, parts.headers, body)
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().expect("text"))
}

/// Bytes that differ everywhere, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// Waits for what happens soon, without guessing how soon.
pub(crate) async fn eventually(what: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "it did not happen");
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until what has arrived is on disk too.
pub(crate) async fn settled(registry: &Registry) {
    eventually(|| metric(registry, "asset_server_fills_in_flight") == 0.0).await;
}

/// What a registry says of one metric.
pub(crate) fn metric(registry: &Registry, name: &str) -> f64 {
    let by_name: HashMap<_, _> = registry
        .gather()
        .into_iter()
        .map(|family| (family.name().to_owned(), family))
        .collect();
    by_name.get(name).map_or(0.0, |family| {
        family
            .get_metric()
            .iter()
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum()
    })
}
