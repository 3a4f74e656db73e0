//! Revalidation, and what happens while the origin is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Response, StatusCode};

use crate::support::{
    OriginResponse, Store, TestOrigin, ask, config, get, header, ok, start, status,
};

fn not_modified() -> OriginResponse {
    status(304)
}

#[tokio::test]
async fn a_stale_object_is_revalidated_with_one_strong_tag() {
    let origin = TestOrigin::start(|request| async move {
        match request.headers().get("if-none-match") {
            Some(tag) if tag == "\"v1\"" => not_modified(),
            _ => ok(
                &[
                    ("etag", "\"v1\""),
                    ("cache-control", "max-age=0"),
                    ("content-type", "text/x-own"),
                ],
                "content",
            ),
        }
    })
    .await;
    let server = start(config(origin.config())).await;
    get(&server, "/assets/x", &[]).await;
    let (status, headers, body) = get(&server, "/assets/x", &[]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"content"[..]));
    assert!(
        header(&headers, "cache-status").contains("fwd=stale; fwd-status=304"),
        "{headers:?}"
    );
    // The 304 had no headers at all: what was stored stays.
    assert_eq!(
        (header(&headers, "etag"), header(&headers, "content-type")),
        ("\"v1\"", "text/x-own")
    );
    assert_eq!(header(&origin.seen.last("/x"), "if-none-match"), "\"v1\"");
}

#[tokio::test]
async fn a_304_may_bring_a_new_lifetime() {
    let origin = TestOrigin::start(|request| async move {
        if request.headers().contains_key("if-none-match") {
            let mut response = not_modified();
            response.headers_mut().insert(
                "cache-control",
                http::HeaderValue::from_static("max-age=600"),
            );
            return response;
        }
        ok(
            &[("etag", "\"v1\""), ("cache-control", "max-age=0")],
            "content",
        )
    })
    .await;
    let server = start(config(origin.config())).await;
    for _ in 0..4 {
        get(&server, "/assets/x", &[]).await;
    }
    let (_, headers, _) = get(&server, "/assets/x", &[]).await;
    assert!(header(&headers, "cache-status").contains("hit"));
    assert_eq!(header(&headers, "cache-control"), "max-age=600");
    assert_eq!(origin.seen.count(&Method::GET, "/x"), 2);
}

#[tokio::test]
async fn a_changed_object_replaces_the_stale_one() {
    let version = Arc::new(AtomicUsize::new(1));
    let current = version.clone();
    let origin = TestOrigin::start(move |_| {
        let version = current.load(Ordering::SeqCst);
        async move {
            ok(
                &[
                    ("etag", &format!("\"v{version}\"")),
                    ("cache-control", "no-cache"),
                ],
                format!("content {version}"),
            )
        }
    })
    .await;
    let server = start(config(origin.config())).await;
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "content 1");
    version.store(2, Ordering::SeqCst);
    let (_, headers, body) = get(&server, "/assets/x", &[]).await;
    assert_eq!(body, "content 2");
    assert!(
        header(&headers, "cache-status").contains("fwd=stale; fwd-status=200; stored"),
        "{headers:?}"
    );
}

#[tokio::test]
async fn a_deleted_object_is_gone_after_revalidation() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = TestOrigin::start(move |request| {
        let first = request.method() == Method::GET && asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                ok(&[("cache-control", "max-age=0")], "x")
            } else {
                status(404)
            }
        }
    })
    .await;
    let server = start(config(origin.config())).await;
    assert_eq!(
        ask(&server, "/assets/x", &[]).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        ask(&server, "/assets/x", &[]).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn while_the_origin_is_away_the_stale_object_stands_in() {
    for (directive, expected) in [
        ("max-age=0", StatusCode::OK),
        ("max-age=0, stale-if-error=60", StatusCode::OK),
        ("max-age=0, must-revalidate", StatusCode::BAD_GATEWAY),
        ("no-cache", StatusCode::BAD_GATEWAY),
    ] {
        let origin = TestOrigin::start(move |_| async move {
            ok(
                &[("etag", "\"v1\""), ("cache-control", directive)],
                "content",
            )
        })
        .await;
        let server = start(config(origin.config())).await;
        get(&server, "/assets/x", &[]).await;
        let address = origin.stop().await;
        let response = ask(&server, "/assets/x", &[]).await;
        assert_eq!(response.status(), expected, "{directive}");
        if expected == StatusCode::OK {
            assert!(
                header(response.headers(), "cache-status")
                    .contains("fwd=stale; detail=stale-if-error")
            );
        } else {
            assert!(header(response.headers(), "proxy-status").starts_with("asset-test; error="));
        }
        let text = format!("{response:?}");
        assert!(
            !text.contains(&address.to_string()),
            "no upstream address in {text}"
        );
        assert!(!server.origins()[0].ok);
    }
}

#[tokio::test]
async fn what_is_fresh_is_served_without_the_origin() {
    let store = Store::start().await;
    store.put("x", b"content");
    let server = start(config(store.config())).await;
    get(&server, "/assets/x", &[]).await;
    store.origin.stop().await;
    assert_eq!(get(&server, "/assets/x", &[]).await.2, "content");
    let response: Response<_> = ask(&server, "/assets/other", &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}
