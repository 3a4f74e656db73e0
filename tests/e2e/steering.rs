//! Each user is answered from the nearest region, and can be told why.

use serde_json::Value;
use tests::{Gateway, TestWorld};

const SAMPLE: &str = "/assets/webapp/index.html";

#[tokio::test]
async fn users_in_three_places_are_answered_from_three_regions_each_out_of_its_own_cache() {
    let world = TestWorld::start().await;
    for (country, region) in [("DE", "ams3"), ("US", "nyc3"), ("ID", "sgp1")] {
        let client = world.client_in(country);
        let first = client.get(SAMPLE).await;
        assert_eq!(
            (first.status.as_u16(), first.served_by()),
            (200, region),
            "{:?}",
            first.headers
        );
        assert!(
            first.header("cache-status").contains("fwd=uri-miss"),
            "{:?}",
            first.headers
        );
        for _ in 0..5 {
            let again = client.get(SAMPLE).await;
            assert_eq!(again.served_by(), region);
            assert!(again.is_hit(), "{:?}", again.headers);
            assert_eq!(again.body, first.body);
        }
        assert_eq!(world.store_gets(region, "webapp/index.html"), 1, "{region}");
    }
}

#[tokio::test]
async fn every_response_says_who_answered_and_how_long_it_took() {
    let world = TestWorld::start().await;
    let client = world.client_in("DE");
    for path in [SAMPLE, "/assets/no-such-thing", "/whoami", "/nowhere"] {
        let answer = client.get(path).await;
        assert_eq!(
            answer.header("x-request-id").len(),
            32,
            "{path}: {:?}",
            answer.headers
        );
        assert!(
            ["ams3", "nyc3", "sgp1"].contains(&answer.served_by()),
            "{path}: {:?}",
            answer.headers
        );
        let mut timings = answer
            .headers
            .get_all("server-timing")
            .iter()
            .filter_map(|value| value.to_str().ok());
        assert!(
            timings.any(|timing| timing.contains("edge;dur=")),
            "{path}: {:?}",
            answer.headers
        );
        if answer.status.is_client_error() {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{path}"
            );
            assert_eq!(
                answer.json()["request_id"],
                answer.header("x-request-id"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn explain_agrees_with_what_http_does() {
    let world = TestWorld::start().await;
    let ready = world.ready();
    for ip in [
        "91.64.0.1",
        "128.135.0.1",
        "36.66.0.1",
        "196.25.1.1",
        "177.36.0.1",
        "1.1.1.1",
        "2a02:2e0::1",
    ] {
        let served = world.client_at(ip).get(SAMPLE).await.served_by().to_owned();
        for region in &ready.regions {
            let arguments = ["explain", "--config", &region.config, "--json", ip];
            let (status, out, err) =
                Gateway::command(world.directory(), "gateway", &arguments).await;
            assert!(status.success(), "{err}");
            let explained: Value = serde_json::from_str(&out).expect("explain prints JSON");
            assert_eq!(explained["live"], true, "{out}");
            assert_eq!(
                explained["places"][0]["region"],
                served.as_str(),
                "{ip} as {} sees it: {out}",
                region.name
            );
            assert!(explained["places"][0]["reason"].is_string(), "{out}");
        }
    }
}

#[tokio::test]
async fn a_client_without_a_place_is_answered_where_it_enters() {
    let world = TestWorld::start().await;
    for region in world.ready().regions {
        let client = tests::Client::new(&region.http, "10.1.2.3");
        assert_eq!(client.get(SAMPLE).await.served_by(), region.name);
    }
}
