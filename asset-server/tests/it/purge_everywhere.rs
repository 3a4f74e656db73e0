//! A purge reaches every instance: told directly, or read from the log later.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use asset_server::config::{Config, Origin, Peer, PurgeLogStore};
use asset_server::purge_log::answer::PurgeAnswer;
use asset_server::{AssetServer, Purge};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use serving::secret::Secret;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_service::Service as _;

use crate::disk::stop;
use crate::support::{Store, config, get, header, start, with_disk};

/// An instance whose admin listener others can reach.
struct Instance {
    server: AssetServer,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

async fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// One instance of a region that tells `peers`, without a log.
fn instance(origin: Origin, region: &str, peers: &[(&str, SocketAddr)]) -> Config {
    let mut config = config(origin);
    config.region = region.into();
    config.purge.instance = "a".into();
    config.purge.token = Some(Secret::new("secret"));
    let peer = |(region, address): &(&str, SocketAddr)| Peer {
        region: (*region).into(),
        url: format!("http://{address}"),
    };
    config.purge.peers = peers.iter().map(peer).collect();
    config
}

/// An instance with its own disk tier and the log of all.
fn logging(store: &Store, region: &str, disk: &Path, log: Option<PurgeLogStore>) -> Config {
    let mut config = with_disk(instance(store.config(), region, &[]), disk);
    config.purge.log = log.or(match store.config() {
        Origin::S3(bucket) => Some(PurgeLogStore::S3(bucket)),
        _ => None,
    });
    config.purge.poll_interval = Duration::from_millis(50);
    config
}

async fn serve(config: Config, listener: TcpListener) -> Instance {
    let server = start(config).await;
    let router = serving::admin::require_token(server.admin_router(), Some(Secret::new("secret")));
    let listening = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Instance {
        server,
        listening: Some(listening),
    }
}

async fn api(server: &AssetServer, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let Ok(response) = server.admin_router().call(request).await;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn purge(server: &AssetServer, how: &str, what: &Value) -> (StatusCode, PurgeAnswer) {
    let path = format!("/api/v1/purge{how}");
    let (status, answer) = api(server, Method::POST, &path, &what.to_string()).await;
    let answer = serde_json::from_value(answer).expect("an answer");
    (status, answer)
}

/// What a client gets, and whether it was cached.
async fn body(server: &AssetServer, path: &str) -> (String, bool) {
    let (_, headers, body) = get(server, path, &[]).await;
    let hit = header(&headers, "cache-status").contains("hit");
    (String::from_utf8_lossy(&body).into_owned(), hit)
}

#[tokio::test]
async fn peers_that_can_be_reached_have_purged_when_the_answer_comes() {
    let store = Store::start().await;
    store.put("x", b"old");
    let (nyc, ams, sgp) = (socket().await, socket().await, socket().await);
    let peers = [("ams3", ams.1), ("sgp1", sgp.1)];
    let nyc = serve(instance(store.config(), "nyc3", &peers), nyc.0).await;
    let ams = serve(instance(store.config(), "ams3", &[]), ams.0).await;
    let sgp = serve(instance(store.config(), "sgp1", &[]), sgp.0).await;
    for instance in [&nyc, &ams, &sgp] {
        assert_eq!(
            body(&instance.server, "/assets/x").await,
            ("old".into(), false)
        );
    }
    store.put("x", b"new");

    let (status, answer) = purge(&nyc.server, "", &json!({"key": "/assets/x"})).await;
    assert_eq!(status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.regions.done, ["ams3", "nyc3", "sgp1"]);
    for instance in &answer.instances {
        assert_eq!(
            instance.removed.map(|removed| removed.memory),
            Some(1),
            "{instance:?}"
        );
    }
    for instance in [&nyc, &ams, &sgp] {
        assert_eq!(
            body(&instance.server, "/assets/x").await,
            ("new".into(), false)
        );
    }
    let path = format!("/api/v1/purge/{}", answer.id);
    let (status, state) = api(&nyc.server, Method::GET, &path, "").await;
    assert_eq!(
        (status, &state["complete"]),
        (StatusCode::OK, &json!(true)),
        "{state}"
    );
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_or_refuses_is_named() {
    let store = Store::start().await;
    let (nyc, nobody, other) = (socket().await, socket().await, socket().await);
    drop(nobody.0);
    let peers = [("sgp1", nobody.1), ("ams3", other.1)];
    let mut own = instance(store.config(), "nyc3", &peers);
    own.purge.token = Some(Secret::new("another"));
    let nyc = serve(own, nyc.0).await;
    let _ams = serve(instance(store.config(), "ams3", &[]), other.0).await;

    let (status, answer) = purge(&nyc.server, "?wait=50ms", &json!({"prefix": "/"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer.regions.done, ["nyc3"]);
    assert_eq!(answer.regions.pending, ["ams3", "sgp1"]);
    let whys: Vec<_> = answer
        .instances
        .iter()
        .filter_map(|i| i.why.as_deref())
        .collect();
    assert!(whys.iter().any(|why| why.contains("401")), "{whys:?}");
    assert!(whys.iter().any(|why| why.contains("refused")), "{whys:?}");
}

#[tokio::test]
async fn an_instance_that_was_away_applies_what_it_missed_before_it_serves() {
    let store = Store::start().await;
    store.put("x", b"old");
    let (ams_disk, sgp_disk) = (TempDir::new().expect("one"), TempDir::new().expect("one"));
    let ams = start(logging(&store, "ams3", ams_disk.path(), None)).await;
    let sgp = start(logging(&store, "sgp1", sgp_disk.path(), None)).await;
    for server in [&ams, &sgp] {
        assert_eq!(body(server, "/assets/x").await.0, "old");
    }
    // It may be reading the log just now.
    stop(sgp, sgp_disk.path()).await;
    store.put("x", b"new");

    let (status, answer) = purge(&ams, "?wait=200ms", &json!({"key": "/assets/x"})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(
        (&answer.regions.done[..], &answer.regions.pending[..]),
        (&["ams3".to_owned()][..], &["sgp1".to_owned()][..])
    );

    let sgp = restart(logging(&store, "sgp1", sgp_disk.path(), None)).await;
    assert_eq!(body(&sgp, "/assets/x").await, ("new".into(), false));
    let path = format!("/api/v1/purge/{}", answer.id);
    let (status, state) = api(&ams, Method::GET, &path, "").await;
    assert_eq!(
        (status, &state["complete"]),
        (StatusCode::OK, &json!(true)),
        "{state}"
    );

    // Once more: what has been applied is not applied again.
    drop(sgp);
    let sgp = restart(logging(&store, "sgp1", sgp_disk.path(), None)).await;
    assert_eq!(body(&sgp, "/assets/x").await, ("new".into(), true));
}

/// Starts on a disk tier that the instance before may not have let go of yet.
async fn restart(config: Config) -> AssetServer {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match AssetServer::start(config.clone(), &prometheus::Registry::new()).await {
            Ok(server) => return server,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_is_no_peer_reads_the_log_and_the_answer_waits_for_it() {
    let store = Store::start().await;
    store.put("x", b"old");
    let (disks, log) = (TempDir::new().expect("one"), TempDir::new().expect("one"));
    let shared = || Some(PurgeLogStore::Directory(log.path().to_owned()));
    let ams = start(logging(&store, "ams3", &disks.path().join("a"), shared())).await;
    let sgp = start(logging(&store, "sgp1", &disks.path().join("s"), shared())).await;
    assert_eq!(body(&sgp, "/assets/x").await.0, "old");
    store.put("x", b"new");
    let (status, answer) = purge(
        &ams,
        "?wait=20s",
        &json!([{"key": "/assets/x"}, {"prefix": "/assets/y/"}]),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.regions.done, ["ams3", "sgp1"]);
    assert_eq!(body(&sgp, "/assets/x").await, ("new".into(), false));

    // In good order it leaves, and is not waited for.
    sgp.leave().await;
    let (status, answer) = purge(&ams, "", &json!({"key": "/assets/x"})).await;
    assert_eq!(
        (status, answer.regions.done),
        (StatusCode::OK, vec!["ams3".to_owned()])
    );
}

#[tokio::test]
async fn without_the_log_a_purge_still_happens_and_the_answer_says_what_is_missing() {
    let store = Store::start().await;
    store.put("x", b"old");
    let disk = TempDir::new().expect("a directory");
    let mut config = logging(&store, "ams3", disk.path(), None);
    if let Some(PurgeLogStore::S3(bucket)) = &mut config.purge.log {
        bucket.endpoint = "http://127.0.0.1:1".into();
    }
    let server = start(config).await;
    body(&server, "/assets/x").await;
    let (status, answer) = purge(&server, "", &json!({"key": "/assets/x"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(answer.log_error.is_some(), "{answer:?}");
    assert!(!body(&server, "/assets/x").await.1);
    let (status, _) = api(
        &server,
        Method::POST,
        "/api/v1/events",
        &event("assets", "x"),
    )
    .await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "the bucket must send it again"
    );
}

fn event(bucket: &str, key: &str) -> String {
    json!({"Records": [{"eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]})
    .to_string()
}

#[tokio::test]
async fn a_bucket_that_says_what_has_changed_purges_it() {
    let store = Store::start().await;
    store.put("a b.txt", b"old");
    let server = start(instance(store.config(), "ams3", &[])).await;
    body(&server, "/assets/a%20b.txt").await;
    store.put("a b.txt", b"new");
    for (bucket, key, expected) in [
        ("other", "a+b.txt", StatusCode::NO_CONTENT),
        ("assets", ".edge/purges/x", StatusCode::NO_CONTENT),
        ("assets", "a+b.txt", StatusCode::OK),
    ] {
        assert_eq!(
            body(&server, "/assets/a%20b.txt").await.0,
            "old",
            "{bucket} {key}"
        );
        let (status, answer) =
            api(&server, Method::POST, "/api/v1/events", &event(bucket, key)).await;
        assert_eq!(status, expected, "{bucket} {key}: {answer}");
    }
    assert_eq!(
        body(&server, "/assets/a%20b.txt").await,
        ("new".into(), false)
    );
    let (status, _) = api(&server, Method::POST, "/api/v1/events", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nonsense_is_refused_with_its_reason() {
    let store = Store::start().await;
    let server = start(instance(store.config(), "ams3", &[])).await;
    for (body, why) in [
        ("", "EOF"),
        ("[]", "empty"),
        ("{\"colour\": \"red\"}", "colour"),
        ("[{\"key\": \"/a\"}, 7]", "expected"),
    ] {
        let (status, problem) = api(&server, Method::POST, "/api/v1/purge", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(why), "{body}: {problem}");
    }
    for id in ["x", "1764072000000-9f86d081884c7d65"] {
        let path = format!("/api/v1/purge/{id}");
        assert_eq!(
            api(&server, Method::GET, &path, "").await.0,
            StatusCode::NOT_FOUND
        );
    }
    let report = server.purge(&Purge::Prefix("/".into())).await;
    assert_eq!(report.memory, 0);
}
