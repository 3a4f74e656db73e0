//! Requests made to escape, to multiply work, or to fill what is bounded: each has one exact outcome.

use asset_server::AssetServer;
use asset_server::config::Query;
use http::{Method, Request, StatusCode, Uri};
use prometheus::Registry;

use crate::disk::files;
use crate::support::{
    Store, TestOrigin, config, eventually, get, header, metric, no_body, noise, ok, start,
    with_disk,
};

#[tokio::test]
async fn paths_made_to_escape_are_refused_before_anybody_is_asked() {
    let origin = TestOrigin::start(|_| async { ok(&[], "secret") }).await;
    let server = start(config(origin.config())).await;
    let long = format!("/assets/{}", "a".repeat(4096));
    let long_when_decoded = format!("/assets/{}", "%61".repeat(1020));
    for (path, expected) in [
        ("/assets/a/../../x", "path_dot_segment"),
        ("/assets/..", "path_dot_segment"),
        ("/assets/.", "path_dot_segment"),
        ("/assets/%2e%2E/x", "path_dot_segment"),
        ("/assets/.%2e/x", "path_dot_segment"),
        ("/assets/%2e/x", "path_dot_segment"),
        ("/assets/%252e%252e/x", "path_encoded_twice"),
        ("/assets/%25252e/x", "path_encoded_twice"),
        ("/assets/a%252fb", "path_encoded_twice"),
        ("/assets/a%255cb", "path_encoded_twice"),
        ("/assets/a%2500", "path_encoded_twice"),
        ("/assets/a%2Fb", "path_encoded_slash"),
        ("/assets/..%2fx", "path_encoded_slash"),
        ("/assets/a%5cb", "path_backslash"),
        ("/assets/..%5Cx", "path_backslash"),
        ("/assets/a%00", "path_control_character"),
        ("/assets/%00/../x", "path_control_character"),
        ("/assets/a%0d%0ax: y", "path_control_character"),
        ("/assets/a%7f", "path_control_character"),
        ("/assets/a%01width", "path_control_character"),
        ("/assets/a%", "path_broken_encoding"),
        ("/assets/a%2", "path_broken_encoding"),
        ("/assets/a%zz", "path_broken_encoding"),
        ("/assets/a%u002e", "path_broken_encoding"),
        ("/assets/%ff%fe", "path_not_utf8"),
        ("/assets/%c0%ae%c0%ae/x", "path_not_utf8"),
        ("/assets/%ed%a0%80", "path_not_utf8"),
        (&long, "path_too_long"),
        (&long_when_decoded, "path_too_long"),
    ] {
        let Ok(uri) = path.replace(' ', "%20").parse::<Uri>() else {
            panic!("{path} is no URI");
        };
        let (parts, ()) = Request::get(uri).body(()).expect("a request").into_parts();
        let (parts, body) = server.respond(&parts, no_body).await.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .expect("a body");
        let problem: serde_json::Value =
            serde_json::from_slice(&body.to_bytes()).expect("a problem");
        let shown: String = path.chars().take(60).collect();
        assert_eq!(problem["reason"], expected, "{shown}");
        assert_eq!(parts.status, StatusCode::BAD_REQUEST, "{shown}");
    }
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 0);
    assert_eq!(origin.seen.count(&Method::GET, "/../x"), 0);
}

#[tokio::test]
async fn a_backslash_in_a_request_is_refused_as_it_is() {
    let origin = TestOrigin::start(|_| async { ok(&[], "secret") }).await;
    let server = start(config(origin.config())).await;
    // Some parsers of request lines let it through.
    if let Ok(uri) = "/assets/..\\x".parse::<Uri>() {
        let (parts, ()) = Request::get(uri).body(()).expect("a request").into_parts();
        let answer = server.respond(&parts, no_body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn thousands_of_ranges_are_one_whole_answer() {
    let store = Store::start().await;
    let object = noise(70, 100_000);
    store.put("x", &object);
    let server = start(config(store.config())).await;
    let apart = |count: usize| {
        let ranges: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 9, n * 9)).collect();
        format!("bytes={}", ranges.join(","))
    };
    let same = |count: usize| format!("bytes={}", vec!["0-"; count].join(","));
    let suffixes = |count: usize| format!("bytes={}", vec!["-1"; count].join(","));
    for (range, expected) in [
        (apart(5000), 200),
        (apart(33), 200),
        (apart(32), 206),
        (same(1300), 200),
        (same(3), 206),
        (same(4), 200),
        (suffixes(5000), 200),
        (format!("bytes={}0-0", ",".repeat(5000)), 206),
        // Numbers beyond any length mean its end (RFC 9110 section 14.1.2).
        ("bytes=0-99999999999999999999999".to_owned(), 206),
        ("bytes=-99999999999999999999999".to_owned(), 206),
    ] {
        let (status, headers, body) = get(&server, "/assets/x", &[("range", &range)]).await;
        let shown: String = range.chars().take(40).collect();
        assert_eq!(status, expected, "{shown}");
        assert_eq!(header(&headers, "content-length"), body.len().to_string());
        assert!(body.len() <= object.len(), "{shown}: {} bytes", body.len());
        if expected == 200 {
            assert!(body == object, "{shown}");
        }
    }
    assert_eq!(store.gets("x"), 1);
}

#[tokio::test]
async fn a_flood_of_queries_reaches_an_origin_once_where_queries_do_not_count() {
    let origin = TestOrigin::start(|_| async { ok(&[], "content") }).await;
    let mut config = config(origin.config());
    config.mounts[0].key.query = Query::Ignore;
    let server = start(config).await;
    for number in 0..300 {
        let (_, _, body) = get(&server, &format!("/assets/x?{number}"), &[]).await;
        assert_eq!(body, "content");
    }
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn a_flood_of_queries_stays_within_both_tiers_where_queries_count() {
    const TIER: u64 = 2 << 20;
    let origin = TestOrigin::start(|_| async { ok(&[], noise(71, 64 << 10)) }).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = with_disk(config(origin.config()), directory.path());
    config.mounts[0].key.query = Query::All;
    config.memory.size = TIER;
    config.memory.max_object = 1 << 20;
    config.disk.as_mut().expect("a disk").size = TIER;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for number in 0..150 {
        get(&server, &format!("/assets/x?{number}"), &[]).await;
        let on_disk: u64 = files(directory.path())
            .iter()
            .map(|file| file.metadata().map_or(0, |file| file.len()))
            .sum();
        assert!(on_disk <= TIER, "{on_disk} after {number}");
    }
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 150);
    eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
    eventually(|| metric(&registry, "asset_server_tier_bytes") > 0.0).await;
    assert!(metric(&registry, "asset_server_tier_bytes") <= 2.0 * TIER as f64);
}
