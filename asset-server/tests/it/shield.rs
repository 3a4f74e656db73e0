//! A shield is asked before the origin, and never instead of it.

use std::net::SocketAddr;

use asset_server::config::{Config, Origin, Shield};
use asset_server::{AssetServer, Purge};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;

use crate::support::{Store, TestOrigin, config, get, header, no_body, ok, start, status};

/// An asset server that others can reach over HTTP.
async fn reachable(server: &AssetServer) -> TestOrigin {
    let server = server.clone();
    TestOrigin::start(move |request| {
        let server = server.clone();
        async move {
            let (parts, _) = request.into_parts();
            let response = server.respond(&parts, no_body).await;
            response.map(|body| body.map_err(std::io::Error::other).boxed_unsync())
        }
    })
    .await
}

fn region(region: &str, origin: Origin, shield: Option<SocketAddr>) -> Config {
    let mut config = config(origin);
    config.region = region.into();
    config.mounts[0].shield = shield.map(|address| Shield {
        url: format!("http://{address}/"),
    });
    config
}

async fn text(server: &AssetServer, path: &str) -> (StatusCode, String, HeaderMap) {
    let (status, headers, body) = get(server, path, &[]).await;
    (status, String::from_utf8_lossy(&body).into_owned(), headers)
}

#[tokio::test]
async fn regions_behind_a_shield_cause_one_fetch_and_count_its_age() {
    const HEADERS: [(&str, &str); 2] = [("age", "100"), ("cache-control", "max-age=600")];
    let origin = TestOrigin::start(async |_| ok(&HEADERS, "0123456789")).await;
    let nyc = start(region("nyc3", origin.config(), None)).await;
    let shield = reachable(&nyc).await;
    text(&nyc, "/assets/x").await;
    for name in ["ams3", "sgp1"] {
        let server = start(region(name, origin.config(), Some(shield.address))).await;
        let (code, body, headers) = text(&server, "/assets/x").await;
        assert_eq!((code, body.as_str()), (StatusCode::OK, "0123456789"));
        let age: u64 = header(&headers, "age").parse().expect("a number");
        assert!(age >= 100, "{headers:?}");
        let both: Vec<_> = headers.get_all("cache-status").iter().collect();
        assert_eq!(both.len(), 2, "{headers:?}");
        assert!(
            both[0]
                .to_str()
                .is_ok_and(|v| v.starts_with("asset-nyc3; hit")),
            "{both:?}"
        );
        assert!(
            both[1]
                .to_str()
                .is_ok_and(|v| v.starts_with(&format!("asset-{name}; fwd=uri-miss"))),
            "{both:?}"
        );
        let (_, _, headers) = text(&server, "/assets/x").await;
        let own: Vec<_> = headers.get_all("cache-status").iter().collect();
        assert_eq!(own.len(), 2, "the shield's part is stored: {headers:?}");
        assert!(own[1].to_str().is_ok_and(|own| own.contains("; hit")));
        assert_eq!(
            header(&shield.seen.last("/assets/x"), "cdn-loop"),
            format!("asset-{name}")
        );
    }
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 1);
}

#[tokio::test]
async fn a_shield_answers_a_part_of_one_version_from_its_cache() {
    let store = Store::start().await;
    store.put("x", b"0123456789");
    let nyc = start(region("nyc3", store.config(), None)).await;
    let (_, _, headers) = text(&nyc, "/assets/x").await;
    let etag = header(&headers, "etag");
    let part = |etag| {
        [
            ("range", "bytes=2-4"),
            ("if-match", etag),
            ("cdn-loop", "asset-ams3"),
        ]
    };
    let (code, _, body) = get(&nyc, "/assets/x", &part(etag)).await;
    assert_eq!(
        (code, &body[..]),
        (StatusCode::PARTIAL_CONTENT, &b"234"[..])
    );
    let (code, _, _) = get(&nyc, "/assets/x", &part("\"another\"")).await;
    assert_eq!(code, StatusCode::PRECONDITION_FAILED);
    assert_eq!(store.gets("x"), 1);
}

#[tokio::test]
async fn a_shield_that_is_away_or_fails_is_passed_by() {
    let store = Store::start().await;
    store.put("x", b"whole");
    let failing = TestOrigin::start(async |_| status(500)).await;
    let gone = TestOrigin::start(async |_| status(200)).await.stop().await;
    for shield in [failing.address, gone] {
        let server = start(region("ams3", store.config(), Some(shield))).await;
        let (code, body, _) = text(&server, "/assets/x").await;
        assert_eq!((code, body.as_str()), (StatusCode::OK, "whole"), "{shield}");
        assert_eq!(
            text(&server, "/assets/missing").await.0,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn two_that_are_each_others_shields_do_not_loop() {
    let store = Store::start().await;
    store.put("x", b"whole");
    let nyc = start(region("nyc3", store.config(), None)).await;
    let nyc_at = reachable(&nyc).await;
    let ams = start(region("ams3", store.config(), Some(nyc_at.address))).await;
    let ams_at = reachable(&ams).await;
    let sgp = start(region("sgp1", store.config(), Some(ams_at.address))).await;
    assert_eq!(text(&sgp, "/assets/x").await.1, "whole");
    assert_eq!(
        nyc_at.seen.count(&Method::GET, "/assets/x"),
        0,
        "a shield asks no shield"
    );

    let (code, headers, _) = get(&ams, "/assets/x", &[("cdn-loop", "other, asset-ams3")]).await;
    assert_eq!(code, StatusCode::LOOP_DETECTED, "{headers:?}");
}

#[tokio::test]
async fn a_purge_that_the_shield_has_not_heard_of_is_not_undone_by_it() {
    let store = Store::start().await;
    store.put("x", b"old");
    let nyc = start(region("nyc3", store.config(), None)).await;
    let shield = reachable(&nyc).await;
    let ams = start(region("ams3", store.config(), Some(shield.address))).await;
    assert_eq!(text(&ams, "/assets/x").await.1, "old");
    store.put("x", b"new");
    // As a peer tells it, so that it has an id; the shield is not told.
    let body = serde_json::to_string(&[Purge::Key("/assets/x".into())]).expect("JSON");
    let request = http::Request::post("/api/v1/purge?local=true")
        .body(axum::body::Body::from(body))
        .expect("a request");
    let Ok(answer) = tower_service::Service::call(&mut ams.admin_router(), request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(&nyc, "/assets/x").await.1, "old", "it is fresh there");
    assert_eq!(text(&ams, "/assets/x").await.1, "new");
}
