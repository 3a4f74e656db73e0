//! Surrogate keys: what an origin has named alike is purged together, from both tiers, after a restart,
//! and while it is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use asset_server::config::Config;
use asset_server::{AssetServer, Purge};
use http::{Method, StatusCode};
use prometheus::Registry;
use tokio::sync::Semaphore;

use crate::disk::{stop, stored};
use crate::support::{
    OriginResponse, TestOrigin, config, eventually, get, header, noise, ok, settled, start, status,
    with_disk,
};

const FRESH: (&str, &str) = ("cache-control", "max-age=3600");

/// `/1` is about a and b, `/2` about b, `/3` about nothing.
fn object(path: &str) -> OriginResponse {
    match path {
        "/1" => ok(&[FRESH, ("surrogate-key", "a b")], "1"),
        "/2" => ok(&[FRESH, ("surrogate-key", "b")], "2"),
        _ => ok(&[FRESH], "3"),
    }
}

async fn origin() -> TestOrigin {
    TestOrigin::start(|request| async move { object(request.uri().path()) }).await
}

async fn start_counted(config: Config) -> (AssetServer, Registry) {
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry).await;
    (server.expect("a server"), registry)
}

async fn purge(server: &AssetServer, key: &str) -> (u64, u64, u64) {
    let report = server.purge(&Purge::SurrogateKey(key.into())).await;
    (report.memory, report.disk, report.fills)
}

async fn hits(server: &AssetServer) -> [bool; 3] {
    let mut hits = [false; 3];
    for (hit, path) in hits.iter_mut().zip(["/assets/1", "/assets/2", "/assets/3"]) {
        let (_, headers, _) = get(server, path, &[]).await;
        assert_eq!(header(&headers, "surrogate-key"), "", "clients see none");
        *hit = header(&headers, "cache-status").contains("hit");
    }
    hits
}

#[tokio::test]
async fn what_has_the_key_goes_from_memory_and_nothing_else() {
    let origin = origin().await;
    let server = start(config(origin.config())).await;
    assert_eq!(hits(&server).await, [false; 3]);
    assert_eq!(hits(&server).await, [true; 3]);
    assert_eq!(purge(&server, "a").await, (1, 0, 0));
    assert_eq!(hits(&server).await, [false, true, true]);
    assert_eq!(purge(&server, "b").await, (2, 0, 0));
    assert_eq!(purge(&server, "a b").await, (0, 0, 0));
    assert_eq!(hits(&server).await, [false, false, true]);
    // Another asset server needs them.
    let (_, headers, _) = get(&server, "/assets/1", &[("cdn-loop", "asset-nyc3")]).await;
    assert_eq!(header(&headers, "surrogate-key"), "a b");
}

#[tokio::test]
async fn files_are_found_by_their_keys_after_a_restart_with_and_without_the_journal() {
    for loses_journal in [false, true] {
        let origin = origin().await;
        let directory = tempfile::TempDir::new().expect("a directory");
        let config = with_disk(config(origin.config()), directory.path());
        let server = start(config.clone()).await;
        hits(&server).await;
        eventually(|| stored(directory.path()) == 3).await;
        stop(server, directory.path()).await;
        if loses_journal {
            std::fs::remove_file(directory.path().join("journal")).expect("removed");
        }
        let (server, registry) = start_counted(config.clone()).await;
        assert_eq!(purge(&server, "a").await, (0, 1, 0));
        assert_eq!(hits(&server).await, [false, true, true]);
        settled(&registry).await;
        assert_eq!(purge(&server, "b").await, (2, 2, 0));
        stop(server, directory.path()).await;
        let server = start(config).await;
        assert_eq!(hits(&server).await, [false, false, true]);
    }
}

#[tokio::test]
async fn a_fill_that_began_before_the_purge_is_not_kept_and_nobody_joins_it() {
    let (gate, directory) = (Arc::new(Semaphore::new(0)), tempfile::TempDir::new());
    let (opened, directory) = (gate.clone(), directory.expect("a directory"));
    let origin = TestOrigin::start(move |request| {
        let gate = opened.clone();
        async move {
            if request.method() == Method::GET {
                gate.acquire().await.expect("open").forget();
            }
            object(request.uri().path())
        }
    })
    .await;
    let server = start(with_disk(config(origin.config()), directory.path())).await;
    let ask = |path: &'static str| {
        let server = server.clone();
        tokio::spawn(async move { get(&server, path, &[]).await.2 })
    };
    let early = [ask("/assets/1"), ask("/assets/3")];
    let asked = |path| origin.seen.count(&Method::GET, path);
    eventually(|| asked("/1") == 1 && asked("/3") == 1).await;
    assert_eq!(
        purge(&server, "b").await,
        (0, 0, 0),
        "none is known to have it"
    );
    let late = ask("/assets/1");
    eventually(|| asked("/1") == 2).await;
    purge(&server, "b").await;
    gate.add_permits(3);
    for (asked, body) in early.into_iter().chain([late]).zip(["1", "3", "1"]) {
        assert_eq!(asked.await.expect("no panic"), body);
    }
    // What has no such key was kept.
    gate.add_permits(2);
    assert_eq!(hits(&server).await, [false, false, true]);
}

#[tokio::test]
async fn keys_that_a_304_changes_count_and_the_file_without_them_goes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = TestOrigin::start(move |request| {
        let first = request.method() != Method::GET || count.fetch_add(1, SeqCst) == 0;
        async move {
            let etag = ("etag", "\"v1\"");
            if first {
                return ok(
                    &[etag, ("cache-control", "max-age=0"), ("surrogate-key", "a")],
                    "x",
                );
            }
            let mut response = ok(&[etag, FRESH, ("surrogate-key", "b")], "");
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
    })
    .await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let config = with_disk(config(origin.config()), directory.path());
    let (server, registry) = start_counted(config).await;
    get(&server, "/assets/x", &[]).await;
    settled(&registry).await;
    assert_eq!(stored(directory.path()), 1);
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "x");
    assert_eq!(stored(directory.path()), 0);
    assert_eq!(purge(&server, "a").await, (0, 0, 0));
    assert_eq!(purge(&server, "b").await, (1, 0, 0));
}

/// A store whose object of two slices has a key in its user metadata.
async fn large(object: Vec<u8>) -> (TestOrigin, Config) {
    let origin = TestOrigin::start(move |request| {
        let range = header(request.headers(), "range").to_owned();
        let object = object.clone();
        async move {
            let Some((start, end)) = range
                .strip_prefix("bytes=")
                .and_then(|range| range.split_once('-'))
            else {
                return status(200);
            };
            let start: usize = start.parse().expect("a number");
            let end = end
                .parse::<usize>()
                .expect("a number")
                .min(object.len() - 1);
            let content_range = format!("bytes {start}-{end}/{}", object.len());
            let mut response = ok(
                &[
                    ("etag", "\"v1\""),
                    ("cache-control", "max-age=3600"),
                    ("x-amz-meta-surrogate-key", "a c"),
                    ("content-range", &content_range),
                ],
                object[start..=end].to_vec(),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response
        }
    })
    .await;
    let config = config(origin.s3_config());
    (origin, config)
}

#[tokio::test]
async fn an_object_of_a_bucket_goes_with_all_its_slices() {
    let object = noise(90, 5 << 20);
    let (origin, config) = large(object.clone()).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (server, registry) = start_counted(with_disk(config, directory.path())).await;
    let asked = || origin.seen.count(&Method::GET, "/assets/x");
    for gets in [2, 4] {
        assert!(get(&server, "/assets/x", &[]).await.2 == object);
        settled(&registry).await;
        assert!(get(&server, "/assets/x", &[]).await.2 == object);
        assert_eq!(asked(), gets);
        let (memory, disk, _) = purge(&server, "c").await;
        assert_eq!((memory, disk, stored(directory.path())), (3, 3, 0));
    }
}
