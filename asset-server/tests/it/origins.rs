//! Origins of every kind, well and unwell.

use http::{Method, StatusCode};
use http_body_util::BodyExt;

use asset_server::config::Origin;

use crate::support::{
    Store, TestOrigin, ask, config, eventually, get, header, metric, noise, ok, start, status,
};

#[tokio::test]
async fn a_missing_bucket_and_wrong_credentials_are_named() {
    let store = Store::start().await;
    store.put("x", b"content");
    for (bucket, secret, reason) in [
        ("nowhere", "secret", "origin_missing"),
        ("assets", "wrong", "origin_denied"),
    ] {
        let server = start(config(store.config_of(bucket, secret))).await;
        eventually(|| !server.origins()[0].ok).await;
        let response = ask(&server, "/assets/x", &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{reason}");
        assert!(response.headers().contains_key("proxy-status"));
        let body = response
            .into_body()
            .collect()
            .await
            .expect("no error")
            .to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(reason), "{body:?}");
        assert_eq!(server.origins()[0].reason, Some(reason));
    }
    let server = start(config(store.config())).await;
    get(&server, "/assets/x", &[]).await;
    assert!(server.origins()[0].ok);
}

#[tokio::test]
async fn a_directory_is_an_origin_and_a_cage() {
    let root = tempfile::TempDir::new().expect("a directory");
    let outside = tempfile::TempDir::new().expect("a directory");
    std::fs::write(outside.path().join("secret"), "secret").expect("a file");
    std::fs::create_dir(root.path().join("sub")).expect("a directory");
    let object = noise(6, 600_000);
    std::fs::write(root.path().join("sub/a.bin"), &object).expect("a file");
    std::os::unix::fs::symlink(outside.path(), root.path().join("door")).expect("a link");
    std::os::unix::fs::symlink("sub/a.bin", root.path().join("alias")).expect("a link");
    let server = start(config(Origin::Directory {
        path: root.path().to_owned(),
    }))
    .await;
    for _ in 0..2 {
        assert!(get(&server, "/assets/sub/a.bin", &[]).await.2 == object);
        assert!(get(&server, "/assets/alias", &[]).await.2 == object);
    }
    for path in [
        "/assets/door/secret",
        "/assets/sub",
        "/assets/none",
        "/assets/sub/a.bin/x",
    ] {
        assert_eq!(
            ask(&server, path, &[]).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    eventually(|| server.origins()[0].ok).await;
    drop(root);
    eventually(|| !server.origins()[0].ok).await;
}

#[tokio::test]
async fn an_error_of_an_http_origin_is_passed_on_and_not_kept() {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let origin = TestOrigin::start(move |request| {
        let first = request.method() == Method::GET
            && calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        async move {
            match first {
                true => status(503),
                false => ok(&[], "content"),
            }
        }
    })
    .await;
    let server = start(config(origin.config())).await;
    assert_eq!(get(&server, "/assets/x", &[]).await.0, 503);
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "content");
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 2);
}

#[tokio::test]
async fn statuses_of_an_http_origin_pass_through() {
    let origin = TestOrigin::start(|request| async move {
        let path = request.uri().path().trim_start_matches('/');
        status(path.parse().unwrap_or(200))
    })
    .await;
    let server = start(config(origin.config())).await;
    for code in [201, 302, 403, 404, 410, 429, 500, 503] {
        let answer = ask(&server, &format!("/assets/{code}"), &[]).await;
        assert_eq!(answer.status(), code);
    }
}

#[tokio::test]
async fn an_http_origin_sees_the_request_but_not_its_connection() {
    let origin = TestOrigin::start(|_| async { ok(&[], "x") }).await;
    let server = start(config(origin.config())).await;
    let headers = [
        ("cookie", "a=b"),
        ("authorization", "Bearer t"),
        ("if-none-match", "\"a\""),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
    ];
    get(&server, "/assets/x?y=z", &headers).await;
    let sent = origin.seen.last("/x");
    for (name, value) in [
        ("cookie", "a=b"),
        ("authorization", "Bearer t"),
        ("if-none-match", ""),
        ("connection", ""),
        ("x-hop", ""),
        ("te", ""),
        ("via", "1.1 asset-server"),
    ] {
        assert_eq!(header(&sent, name), value, "{name}");
    }
}

#[tokio::test]
async fn a_store_of_objects_is_told_nothing_of_the_client() {
    let store = crate::support::Store::start().await;
    store.put("x", b"content");
    let server = start(config(store.config())).await;
    let headers = [("cookie", "a=b"), ("x-secret", "1"), ("range", "bytes=0-0")];
    get(&server, "/assets/x?y=z", &headers).await;
    let sent = store.origin.seen.last("/assets/x");
    for name in ["cookie", "x-secret"] {
        assert_eq!(header(&sent, name), "", "{name}");
    }
}

#[tokio::test]
async fn the_longest_mount_wins() {
    let (outer, inner) = (
        TestOrigin::start(|_| async { ok(&[], "outer") }).await,
        TestOrigin::start(|_| async { ok(&[], "inner") }).await,
    );
    let mut config = config(outer.config());
    let mut second = config.mounts[0].clone();
    second.path = "/assets/deep/".into();
    second.origin = inner.config();
    config.mounts.push(second);
    let server = start(config).await;
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "outer");
    assert_eq!(get(&server, "/assets/deep/x", &[]).await.2, "inner");
    assert_eq!(inner.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn an_object_of_unknown_length_is_kept_on_disk() {
    let object = noise(30, 900_000);
    let body = object.clone();
    let origin = TestOrigin::start(move |_| {
        let pieces: Vec<_> = body
            .chunks(50_000)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        async move {
            let frames = pieces
                .into_iter()
                .map(|piece| Ok(http_body::Frame::data(piece)));
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            http::Response::new(body.boxed_unsync())
        }
    })
    .await;
    let directory = tempfile::TempDir::new().expect("a directory");
    for (disk, gets) in [(true, 1), (false, 3)] {
        let mut config = config(origin.config());
        if disk {
            config = crate::support::with_disk(config, directory.path());
        }
        let registry = prometheus::Registry::new();
        let server = asset_server::AssetServer::start(config, &registry)
            .await
            .expect("a server");
        let before = origin.seen.count(&Method::GET, "/x");
        for _ in 0..3 {
            let (_, headers, body) = get(&server, "/assets/x", &[]).await;
            assert!(body == object);
            assert_eq!(header(&headers, "cache-status").contains("bypass"), !disk);
        }
        assert_eq!(origin.seen.count(&Method::GET, "/x") - before, gets);
        if disk {
            // While the file is being published, the length is not known to the fill yet.
            eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
            let (status, _, body) = get(&server, "/assets/x", &[("range", "bytes=-7")]).await;
            assert!(status == StatusCode::PARTIAL_CONTENT && body == object[899_993..]);
        }
    }
}
