//! Several origins in order: who is asked, whose word counts, and what comes back to the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::Duration;

use asset_server::AssetServer;
use asset_server::config::{Config, Origin};
use http::{Method, StatusCode};
use prometheus::Registry;

use crate::disk::files;
use crate::support::{
    OriginResponse, Store, TestOrigin, ask, config, eventually, get, header, metric, noise, ok,
    start, status, with_disk,
};

fn with_fallbacks(origin: Origin, fallbacks: impl IntoIterator<Item = Origin>) -> Config {
    let mut config = config(origin);
    config.mounts[0].fallbacks = fallbacks.into_iter().collect();
    config
}

async fn always(answer: impl Fn() -> OriginResponse + Send + Sync + 'static) -> TestOrigin {
    TestOrigin::start(move |_| {
        let answer = answer();
        async move { answer }
    })
    .await
}

#[tokio::test]
async fn every_failure_that_may_pass_goes_on_to_the_next_origin() {
    let second = always(|| ok(&[], "second")).await;
    for failure in [401, 403, 404, 410, 429, 500, 502, 503, 504] {
        let first = always(move || status(failure)).await;
        let server = start(with_fallbacks(first.s3_config(), [second.config()])).await;
        let body = get(&server, "/assets/x", &[]).await.2;
        assert_eq!(body, "second", "after a store's {failure}");
        let server = start(with_fallbacks(first.config(), [second.config()])).await;
        let (code, _, body) = get(&server, "/assets/x", &[]).await;
        match failure {
            // What an application denies is not had elsewhere.
            401 | 403 => assert_eq!((code.as_u16(), &*body), (failure, &b""[..])),
            _ => assert_eq!(body, "second", "after {failure}"),
        }
    }
    let gone = always(|| ok(&[], "")).await.stop().await;
    let gone = Origin::Http {
        url: format!("http://{gone}/").parse().expect("a URL"),
    };
    let server = start(with_fallbacks(gone, [second.config()])).await;
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "second");
}

#[tokio::test]
async fn a_hanging_origin_is_left_for_the_next_one() {
    let first = TestOrigin::start(|_| std::future::pending::<OriginResponse>()).await;
    let second = always(|| ok(&[], "second")).await;
    let mut config = with_fallbacks(first.config(), [second.config()]);
    config.origin.first_byte_timeout = Duration::from_millis(200);
    config.origin.breaker_failures = 2;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for i in 0..20 {
        let path = format!("/assets/{i}");
        assert_eq!(get(&server, &path, &[]).await.2, "second");
    }
    let asked = (0..20).filter(|i| first.seen.count(&Method::GET, &format!("/{i}")) > 0);
    assert!(asked.count() < 5, "the breaker spares those who come later");
    assert_eq!(
        metric(&registry, "asset_server_origin_failovers_total"),
        20.0
    );
}

#[tokio::test]
async fn not_found_is_said_only_if_every_origin_says_so() {
    for (first, second, ours) in [
        (404, 404, 404),
        (410, 404, 404),
        (404, 500, 500),
        (500, 404, 502),
        (500, 500, 500),
        (404, 403, 403),
        (404, 503, 503),
        (504, 404, 504),
    ] {
        let answers = [first, second].map(|code| always(move || status(code)));
        let [first_origin, second_origin] = futures_util::future::join_all(answers)
            .await
            .try_into()
            .ok()
            .expect("two");
        let server = start(with_fallbacks(
            first_origin.config(),
            [second_origin.config()],
        ))
        .await;
        for _ in 0..2 {
            let response = ask(&server, "/assets/x", &[]).await;
            assert_eq!(response.status(), ours, "{first}, {second}");
        }
        // What may be wrong is not remembered.
        let again = second_origin.seen.count(&Method::GET, "/x");
        assert_eq!(again > 1, ours != 404, "{first}, {second}: {again}");
    }
}

#[tokio::test]
async fn a_mount_with_a_living_fallback_is_ready_and_one_without_is_not() {
    let (store, archive) = (Store::start().await, Store::start().await);
    let dead = store.config_of("nowhere", "secret");
    let server = start(with_fallbacks(dead.clone(), [archive.config()])).await;
    eventually(|| server.origins().iter().map(|o| o.ok).eq([false, true])).await;
    let origins = server.origins();
    assert_eq!(origins[0].name, "/assets/");
    assert_eq!(origins[1].name, "/assets/ (fallback 1)");
    assert!(!origins[0].blocking && !origins[1].blocking);
    let server = start(with_fallbacks(dead.clone(), [dead])).await;
    eventually(|| server.origins().iter().all(|o| !o.ok)).await;
    assert!(server.origins().iter().all(|o| o.blocking));
}

#[tokio::test]
async fn an_outage_is_bridged_and_the_first_origin_is_asked_again_afterwards() {
    let code = Arc::new(AtomicU16::new(200));
    let answers = code.clone();
    let first = TestOrigin::start(move |_| {
        let code = answers.load(SeqCst);
        async move {
            match code {
                200 => ok(&[], "first"),
                code => status(code),
            }
        }
    })
    .await;
    let second = always(|| ok(&[], "second")).await;
    let server = start(with_fallbacks(first.config(), [second.config()])).await;
    assert_eq!(get(&server, "/assets/1", &[]).await.2, "first");
    code.store(500, SeqCst);
    assert_eq!(get(&server, "/assets/2", &[]).await.2, "second");
    code.store(200, SeqCst);
    assert_eq!(get(&server, "/assets/3", &[]).await.2, "first");
}

#[tokio::test]
async fn the_rest_of_an_object_comes_from_whichever_origin_has_that_version() {
    let object = noise(77, 3 << 20);
    // One has replaced it, one has lost it, one still has the version that was cached.
    let first = serving(object.clone(), Some(412)).await;
    let second = serving(object.clone(), Some(404)).await;
    let third = serving(object.clone(), None).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let config = with_fallbacks(first.config(), [second.config(), third.config()]);
    let mut config = with_disk(config, directory.path());
    config.memory.max_object = 1 << 20;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    get(&server, "/assets/x", &[]).await;
    eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
    let file = files(directory.path()).pop().expect("a file");
    let open = std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .expect("open");
    std::os::unix::fs::FileExt::write_all_at(&open, b"damage", 2 << 20).expect("written");
    let (code, _, body) = get(&server, "/assets/x", &[]).await;
    assert!(code == StatusCode::OK && body == object);
    for origin in [first, second, third] {
        assert_eq!(header(&origin.seen.last("/x"), "if-match"), "\"v1\"");
    }
}

/// Serves one object whole, and says `to_parts` to who asks for a part of that version; or gives it.
async fn serving(object: Vec<u8>, to_parts: Option<u16>) -> TestOrigin {
    TestOrigin::start(move |request| {
        let range = header(request.headers(), "range").to_owned();
        let (object, length) = (object.clone(), object.len());
        async move {
            let Some(range) = range.strip_prefix("bytes=") else {
                return ok(&[("etag", "\"v1\"")], object);
            };
            if let Some(code) = to_parts {
                return status(code);
            }
            let (start, end) = range.split_once('-').expect("a range");
            let (start, end): (usize, usize) = (
                start.parse().expect("a number"),
                end.parse().expect("a number"),
            );
            let content_range = format!("bytes {start}-{end}/{length}");
            let mut response = ok(
                &[("etag", "\"v1\""), ("content-range", &content_range)],
                object[start..=end].to_vec(),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response
        }
    })
    .await
}

#[tokio::test]
async fn what_only_the_archive_has_is_restored_once() {
    let (bucket, archive) = (Store::start().await, Store::start().await);
    // One put at once, one in parts, one empty.
    let objects = [
        ("small", noise(1, 300_000)),
        ("deep/large", noise(2, (17 << 20) + 5)),
        ("empty", Vec::new()),
    ];
    for (key, body) in &objects {
        archive.put(key, body);
    }
    let mut config = with_fallbacks(bucket.config(), [archive.config()]);
    config.mounts[0].restore = true;
    let registry = Registry::new();
    let server = AssetServer::start(config.clone(), &registry)
        .await
        .expect("a server");
    for (key, body) in &objects {
        assert!(get(&server, &format!("/assets/{key}"), &[]).await.2 == *body);
    }
    assert_eq!(ask(&server, "/assets/none", &[]).await.status(), 404);
    eventually(|| metric(&registry, "asset_server_restored_objects_total") == 3.0).await;
    for (key, body) in &objects {
        assert!(
            bucket.read(key).as_deref() == Some(body.as_slice()),
            "{key}"
        );
    }
    // A cache that knows nothing finds them in the bucket, and asks the archive no more.
    let before = archive.gets("small");
    let fresh = start(config).await;
    assert!(get(&fresh, "/assets/small", &[]).await.2 == objects[0].1);
    assert_eq!(archive.gets("small"), before);
}

#[tokio::test]
async fn what_is_only_out_of_reach_is_not_restored() {
    let code = Arc::new(AtomicU16::new(500));
    let answers = code.clone();
    let bucket = TestOrigin::start(move |_| {
        let code = answers.load(SeqCst);
        async move { status(code) }
    })
    .await;
    let archive = Store::start().await;
    archive.put("x", b"content");
    let Origin::S3(mut s3) = archive.config() else {
        unreachable!("a store is S3");
    };
    s3.endpoint = format!("http://{}", bucket.address);
    let mut config = with_fallbacks(Origin::S3(s3), [archive.config()]);
    config.mounts[0].restore = true;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "content");
    assert_eq!(bucket.seen.count(&Method::PUT, "/assets/x"), 0);
    assert_eq!(archive.gets("x"), 1);
    assert_eq!(
        metric(&registry, "asset_server_restored_objects_total"),
        0.0
    );
}
