//! The care that a store gets: its budget of requests, its wish to be left alone, its death.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use asset_server::AssetServer;
use http::{Method, StatusCode};
use prometheus::Registry;
use tokio::time::Instant;

use crate::support::{
    OriginResponse, TestOrigin, ask, config, eventually, get, header, metric, ok, s3_object, start,
    status,
};

const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code>\
    <Message>Please reduce your request rate.</Message></Error>";

/// What a gateway of Ceph says when it has had enough.
fn slow_down(headers: &[(&str, &str)]) -> OriginResponse {
    let mut response = ok(headers, SLOW_DOWN);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

#[tokio::test]
async fn mounts_of_one_store_share_its_budget_and_each_request_waits_for_its_turn() {
    let origin = TestOrigin::start(|_| async { ok(&[], "x") }).await;
    let mut config = config(origin.config());
    let mut second = config.mounts[0].clone();
    second.path = "/other/".into();
    config.mounts.push(second);
    config.origin.requests_per_second = 50;
    config.origin.burst = 5;
    let server = start(config).await;
    let began = Instant::now();
    let all = (0..25).map(|i| {
        let path = format!("/{}/{i}", if i % 2 == 0 { "assets" } else { "other" });
        let server = server.clone();
        async move { ask(&server, &path, &[]).await.status() }
    });
    let statuses = futures_util::future::join_all(all).await;
    assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
    // Five leave at once, twenty more take 20 ms each.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(399), "too soon: {took:?}");
}

#[tokio::test]
async fn a_request_whose_turn_would_come_too_late_is_refused_with_a_time() {
    let origin = TestOrigin::start(|_| async { ok(&[], "x") }).await;
    let mut config = config(origin.config());
    config.origin.requests_per_second = 1;
    config.origin.first_byte_timeout = Duration::from_millis(500);
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    assert_eq!(ask(&server, "/assets/1", &[]).await.status(), 200);
    let refused = ask(&server, "/assets/2", &[]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(refused.headers(), "retry-after"), "1");
    assert_eq!(origin.seen.count(&Method::GET, "/2"), 0);
    assert_eq!(metric(&registry, "asset_server_origin_refused_total"), 1.0);
}

#[tokio::test]
async fn nobody_asks_a_store_before_the_moment_that_it_named() {
    let (first, calls) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (refuses, counted) = (first.clone(), calls.clone());
    let origin = TestOrigin::start(move |request| {
        let refuse = request.method() == Method::GET && refuses.swap(false, SeqCst);
        counted.fetch_add(usize::from(request.method() == Method::GET), SeqCst);
        async move {
            if refuse {
                slow_down(&[("retry-after", "1")])
            } else {
                s3_object(request.headers(), "x")
            }
        }
    })
    .await;
    let registry = Registry::new();
    let server = AssetServer::start(config(origin.s3_config()), &registry)
        .await
        .expect("a server");
    let began = Instant::now();
    let refused = {
        let server = server.clone();
        tokio::spawn(async move { get(&server, "/assets/a", &[]).await.2 })
    };
    eventually(|| metric(&registry, "asset_server_origin_slow_downs_total") == 1.0).await;
    // Another object, which would have been answered.
    let second = get(&server, "/assets/b", &[]).await.2;
    assert!(
        began.elapsed() >= Duration::from_millis(990),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (refused.await.expect("no panic"), second),
        ("x".into(), "x".into())
    );
    assert_eq!(calls.load(SeqCst), 3);
}

#[tokio::test]
async fn a_pause_longer_than_a_client_can_wait_is_passed_on() {
    // The first refusal of an HTTP origin is passed on as it is; a store's is told in our words.
    for is_http in [true, false] {
        let origin = TestOrigin::start(|_| async { slow_down(&[("retry-after", "120")]) }).await;
        let (place, a, b) = match is_http {
            true => (origin.config(), "/a", "/b"),
            false => (origin.s3_config(), "/assets/a", "/assets/b"),
        };
        let server = start(config(place)).await;
        for path in ["/assets/a", "/assets/b"] {
            let response = ask(&server, path, &[]).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let wait: u64 = header(response.headers(), "retry-after")
                .parse()
                .expect("seconds");
            assert!((118..=120).contains(&wait), "{wait}");
        }
        assert_eq!(origin.seen.count(&Method::GET, a), 1);
        assert_eq!(origin.seen.count(&Method::GET, b), 0);
    }
}

#[tokio::test]
async fn one_client_that_asks_too_often_does_not_silence_the_origin() {
    let origin = TestOrigin::start(|request| async move {
        if request.uri().path() != "/a" {
            return ok(&[], "x");
        }
        let mut response = status(429);
        let wait = http::HeaderValue::from_static("120");
        response.headers_mut().insert("retry-after", wait);
        response
    })
    .await;
    let server = start(config(origin.config())).await;
    let named = [("authorization", "Bearer x")];
    assert_eq!(ask(&server, "/assets/a", &named).await.status(), 429);
    assert_eq!(get(&server, "/assets/b", &[]).await.2, "x");
    assert_eq!(ask(&server, "/assets/a", &[]).await.status(), 429);
    assert_eq!(ask(&server, "/assets/c", &[]).await.status(), 503);
}

#[tokio::test]
async fn refusals_cut_the_requests_in_flight_and_all_objects_arrive() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let busy = in_flight.clone();
    // Ten at a time; the rest of a burst is refused, without a word on when to return.
    let origin = TestOrigin::start(move |request| {
        let busy = busy.clone();
        async move {
            if request.method() != Method::GET {
                return ok(&[], "");
            }
            let now = busy.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            busy.fetch_sub(1, SeqCst);
            if now < 10 {
                s3_object(request.headers(), "x")
            } else {
                slow_down(&[])
            }
        }
    })
    .await;
    let mut config = config(origin.s3_config());
    config.origin.attempts = 8;
    config.origin.retry_percent = 100;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    let mut answered = 0;
    for round in 0..5 {
        let all = (0..60).map(|i| {
            let server = server.clone();
            async move {
                ask(&server, &format!("/assets/{round}/{i}"), &[])
                    .await
                    .status()
            }
        });
        let statuses = futures_util::future::join_all(all).await;
        answered = statuses.iter().filter(|status| status.is_success()).count();
    }
    assert_eq!(
        answered, 60,
        "the last round, with what the first ones taught"
    );
    eventually(|| metric(&registry, "asset_server_origin_concurrency_limit") < 40.0).await;
}

#[tokio::test]
async fn a_dead_store_costs_no_timeouts_once_that_is_known_and_returns_by_a_probe() {
    let hangs = Arc::new(AtomicBool::new(true));
    let dead = hangs.clone();
    let origin = TestOrigin::start(move |_| {
        let hang = dead.load(SeqCst);
        async move {
            if hang {
                std::future::pending::<()>().await;
            }
            ok(&[("cache-control", "no-store")], "x")
        }
    })
    .await;
    let mut config = config(origin.config());
    config.origin.first_byte_timeout = Duration::from_millis(250);
    config.origin.breaker_failures = 3;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for i in 0..3 {
        let status = ask(&server, &format!("/assets/{i}"), &[]).await.status();
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    }
    let began = Instant::now();
    for i in 0..50 {
        let response = ask(&server, &format!("/assets/{i}"), &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(header(response.headers(), "retry-after"), "1");
    }
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(origin.seen.count(&Method::GET, "/9"), 0);
    eventually(|| metric(&registry, "asset_server_origin_breaker_open") == 1.0).await;
    hangs.store(false, SeqCst);
    let deadline = Instant::now() + Duration::from_secs(10);
    while ask(&server, "/assets/x", &[]).await.status() != 200 {
        assert!(Instant::now() < deadline, "it stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_outage_is_not_multiplied_by_retries() {
    let origin = TestOrigin::start(|_| async { status(500) }).await;
    let mut config = config(origin.s3_config());
    config.origin.attempts = 4;
    config.origin.breaker_failures = 0;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    let all = (0..200).map(|i| {
        let server = server.clone();
        async move { ask(&server, &format!("/assets/{i}"), &[]).await.status() }
    });
    futures_util::future::join_all(all).await;
    let sent = metric(&registry, "asset_server_origin_requests_total");
    let retried = metric(&registry, "asset_server_origin_retries_total");
    assert_eq!(sent, 200.0 + retried);
    // A fifth of 200, and ten that are free.
    assert!((1.0..=50.0).contains(&retried), "{retried} retries");
}
