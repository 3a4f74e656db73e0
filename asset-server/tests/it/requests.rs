//! What a client sees: methods, keys, ranges, conditions, errors.

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tower_service::Service as _;

use crate::support::{Store, ask, ask_as, config, get, header, metric, noise, start};

#[tokio::test]
async fn an_object_is_fetched_once_and_then_a_hit() {
    let store = Store::start().await;
    let object = noise(1, 1000);
    store.put("a/logo.svg", &object);
    let server = start(config(store.config())).await;
    let (status, headers, body) = get(&server, "/assets/a/logo.svg", &[]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &object[..]));
    assert!(
        header(&headers, "cache-status")
            .starts_with("asset-test; fwd=uri-miss; fwd-status=200; stored"),
        "{headers:?}"
    );
    let (_, headers, body) = get(&server, "/assets/a/logo.svg", &[]).await;
    assert_eq!(body, object);
    assert!(
        header(&headers, "cache-status").starts_with("asset-test; hit; ttl="),
        "{headers:?}"
    );
    for (name, value) in [
        ("age", "0"),
        ("content-type", "image/svg+xml"),
        ("accept-ranges", "bytes"),
        ("content-length", "1000"),
    ] {
        assert_eq!(header(&headers, name), value, "{name}");
    }
    assert!(
        header(&headers, "etag").starts_with('"')
            && headers.contains_key("last-modified")
            && headers.contains_key("date")
    );
    assert_eq!(store.gets("a/logo.svg"), 1);
}

#[tokio::test]
async fn ranges_are_answered_from_one_fill() {
    let store = Store::start().await;
    let object = noise(2, 700_000);
    store.put("big", &object);
    let server = start(config(store.config())).await;
    for (range, from, to) in [
        ("bytes=600000-", 600_000, 700_000),
        ("bytes=0-0", 0, 1),
        ("bytes=262143-262144", 262_143, 262_145),
        ("bytes=-5", 699_995, 700_000),
    ] {
        let (status, headers, body) = get(&server, "/assets/big", &[("range", range)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(
            header(&headers, "content-range"),
            format!("bytes {from}-{}/700000", to - 1)
        );
        assert_eq!(header(&headers, "content-length"), (to - from).to_string());
        assert!(body == object[from..to], "{range}");
    }
    let (status, headers, _) = get(&server, "/assets/big", &[("range", "bytes=700000-")]).await;
    assert_eq!(
        (status, header(&headers, "content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */700000")
    );
    let (status, _, body) = get(&server, "/assets/big", &[("range", "bytes=oops")]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 700_000));
    assert_eq!(store.gets("big"), 1);
}

#[tokio::test]
async fn several_ranges_come_as_multipart() {
    let store = Store::start().await;
    let object = noise(3, 300_000);
    store.put("m.txt", &object);
    let server = start(config(store.config())).await;
    // The first goes through a fill, the second is a hit.
    for _ in 0..2 {
        let (status, headers, body) = get(
            &server,
            "/assets/m.txt",
            &[("range", "bytes=0-9, 262140-262149,-4")],
        )
        .await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        let boundary = header(&headers, "content-type")
            .strip_prefix("multipart/byteranges; boundary=")
            .expect("multipart");
        let mut expected = Vec::new();
        for (from, to) in [(0, 10), (262_140, 262_150), (299_996, 300_000)] {
            let head = format!(
                "\r\n--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes {from}-{}/300000\r\n\r\n",
                to - 1
            );
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(&object[from..to]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(body == expected);
        assert_eq!(
            header(&headers, "content-length"),
            expected.len().to_string()
        );
    }
}

#[tokio::test]
async fn conditions_are_answered_without_a_body() {
    let store = Store::start().await;
    store.put("c", b"content");
    let server = start(config(store.config())).await;
    let (_, headers, _) = get(&server, "/assets/c", &[]).await;
    let (etag, modified) = (
        header(&headers, "etag").to_owned(),
        header(&headers, "last-modified").to_owned(),
    );
    let list = format!("\"x\", W/{etag}");
    for (name, value, expected) in [
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", &list, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"x\"", 200),
        ("if-modified-since", &modified, 304),
        ("if-match", "\"x\"", 412),
        ("if-match", &etag, 200),
        ("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT", 412),
    ] {
        let (status, headers, body) = get(&server, "/assets/c", &[(name, value)]).await;
        assert_eq!(status, expected, "{name}: {value}");
        assert_eq!(body.is_empty(), expected != 200);
        assert_eq!(header(&headers, "etag"), etag);
    }
    let (status, _, body) = get(
        &server,
        "/assets/c",
        &[("range", "bytes=0-1"), ("if-range", &etag)],
    )
    .await;
    assert_eq!(
        (status, &body[..]),
        (StatusCode::PARTIAL_CONTENT, &b"co"[..])
    );
    let (status, _, body) = get(
        &server,
        "/assets/c",
        &[("range", "bytes=0-1"), ("if-range", "\"x\"")],
    )
    .await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"content"[..]));
}

#[tokio::test]
async fn head_asks_for_the_head_alone() {
    let store = Store::start().await;
    store.put("h", b"content");
    let server = start(config(store.config())).await;
    for _ in 0..2 {
        let response = ask_as(&server, Method::HEAD, "/assets/h", &[]).await;
        assert_eq!(
            (
                response.status(),
                header(response.headers(), "content-length")
            ),
            (StatusCode::OK, "7")
        );
        assert!(
            response
                .into_body()
                .collect()
                .await
                .expect("no error")
                .to_bytes()
                .is_empty()
        );
    }
    assert_eq!(store.gets("h"), 0);
    get(&server, "/assets/h", &[]).await;
    let response = ask_as(
        &server,
        Method::HEAD,
        "/assets/h",
        &[("range", "bytes=0-1")],
    )
    .await;
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "a range means nothing to HEAD"
    );
    assert!(header(response.headers(), "cache-status").contains("hit"));
    assert_eq!(header(response.headers(), "content-length"), "7");
}

#[tokio::test]
async fn what_names_no_object_is_a_problem_with_a_reason() {
    let store = Store::start().await;
    let server = start(config(store.config())).await;
    for (method, path, status, reason) in [
        (Method::POST, "/assets/a", 405, "method_not_allowed"),
        (Method::GET, "/other/a", 404, "no_mount"),
        (Method::GET, "/assets/", 404, "path_directory"),
        (Method::GET, "/assets/a/", 404, "path_directory"),
        (
            Method::GET,
            "/assets/../etc/passwd",
            400,
            "path_dot_segment",
        ),
        (
            Method::GET,
            "/assets/%2e%2e/etc/passwd",
            400,
            "path_dot_segment",
        ),
        (Method::GET, "/assets/a%2fb", 400, "path_encoded_slash"),
        (Method::GET, "/assets//a", 400, "path_empty_segment"),
        (Method::GET, "/assets/a%00", 400, "path_control_character"),
        (Method::GET, "/assets/.edge/x", 404, "path_reserved"),
        (Method::GET, "/assets/missing", 404, "no_such_object"),
    ] {
        let response = ask_as(&server, method, path, &[("x-request-id", "r-1")]).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(
            header(response.headers(), "content-type"),
            "application/problem+json"
        );
        let body = response
            .into_body()
            .collect()
            .await
            .expect("no error")
            .to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (problem["reason"].as_str(), problem["request_id"].as_str()),
            (Some(reason), Some("r-1")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_missing_object_is_remembered_for_a_moment() {
    let store = Store::start().await;
    let server = start(config(store.config())).await;
    for _ in 0..3 {
        assert_eq!(
            ask(&server, "/assets/none", &[]).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(store.gets("none"), 1);
    let response = ask(&server, "/assets/none", &[]).await;
    assert!(header(response.headers(), "cache-status").starts_with("asset-test; hit"));
}

#[tokio::test]
async fn keys_of_every_alphabet_reach_the_store() {
    let store = Store::start().await;
    store.put("été/a b+c&d=e%.txt", b"x");
    let server = start(config(store.config())).await;
    let (status, _, body) = get(
        &server,
        "/assets/%C3%A9t%C3%A9/a%20b+c&d=e%25.txt?query=ignored",
        &[],
    )
    .await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"x"[..]));
}

#[tokio::test]
async fn a_purge_removes_by_key_and_by_prefix() {
    let store = Store::start().await;
    let registry = prometheus::Registry::new();
    let server = asset_server::AssetServer::start(config(store.config()), &registry)
        .await
        .expect("a server");
    for key in ["v1/a", "v1/b", "v2/a"] {
        store.put(key, b"old");
        get(&server, &format!("/assets/{key}"), &[]).await;
        store.put(key, b"newer");
    }
    let report = server
        .purge(&asset_server::Purge::Key("/assets/v2/a".into()))
        .await;
    assert_eq!((report.memory, report.disk), (1, 0));
    assert_eq!(get(&server, "/assets/v2/a", &[]).await.2, "newer");
    assert_eq!(get(&server, "/assets/v1/a", &[]).await.2, "old");
    let report = server
        .purge(&asset_server::Purge::Prefix("/assets/v1/".into()))
        .await;
    assert_eq!(report.memory, 2);
    assert_eq!(get(&server, "/assets/v1/b", &[]).await.2, "newer");
    assert!(metric(&registry, "asset_server_purged_objects_total") >= 3.0);
    assert!(metric(&registry, "asset_server_requests_total") >= 6.0);
}

#[tokio::test]
async fn the_admin_api_tells_and_purges() {
    let store = Store::start().await;
    store.put("x", b"content");
    let server = start(config(store.config())).await;
    get(&server, "/assets/x", &[]).await;
    let call = async |method: Method, path: &str, body: &'static str| {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body))
            .expect("a request");
        let response = server
            .admin_router()
            .call(request)
            .await
            .expect("never fails");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("no error")
            .to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let (status, text) = call(Method::GET, "/api/v1/cache", "").await;
    assert!(
        status == StatusCode::OK && text.contains("\"objects\":1") && text.contains("/assets/"),
        "{text}"
    );
    let (status, text) = call(Method::POST, "/api/v1/purge", r#"{"key": "/assets/x"}"#).await;
    assert!(
        status == StatusCode::OK && text.contains("\"memory\":1"),
        "{text}"
    );
    let (status, _) = call(Method::POST, "/api/v1/purge", r#"{"everything": true}"#).await;
    assert!(status.is_client_error());
}

#[tokio::test]
async fn it_is_a_tower_service() {
    let store = Store::start().await;
    store.put("x", b"content");
    let mut server = start(config(store.config())).await;
    for expected in ["fwd=uri-miss", "hit"] {
        let request = http::Request::builder()
            .uri("/assets/x")
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request");
        let response = server.call(request).await.expect("never fails");
        assert!(header(response.headers(), "cache-status").contains(expected));
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes(),
            "content"
        );
    }
}

#[tokio::test]
async fn the_memory_tier_stays_within_its_size() {
    let store = Store::start().await;
    let mut config = config(store.config());
    config.memory = asset_server::config::Memory {
        size: 1 << 20,
        max_object: 1 << 20,
    };
    let registry = prometheus::Registry::new();
    let server = asset_server::AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for i in 0..30 {
        store.put(&i.to_string(), &noise(i, 100_000));
        assert!(get(&server, &format!("/assets/{i}"), &[]).await.2 == noise(i, 100_000));
    }
    crate::support::eventually(|| {
        let bytes = metric(&registry, "asset_server_tier_bytes");
        bytes > 500_000.0 && bytes <= f64::from(1 << 20)
    })
    .await;
}
