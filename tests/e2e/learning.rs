//! Learnt round trips, exploration, correction in the path, and who may know why.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tests::{Client, Gateway, TestWorld, eventually, silent_address};

const SMALL: &str = "/assets/hello.txt";
const LARGE: &str = "/assets/large.bin";
/// Networks in Germany and Indonesia.
const GERMAN: &str = "91.64.0.0/24";
const INDONESIAN: &str = "36.66.0.1";

fn seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

fn configuration(regions: Value, steering: Value, route: &Value) -> Value {
    let mut configuration = Gateway::configuration();
    configuration["regions"] = regions;
    configuration["peers"] = json!(["127.0.0.0/8"]);
    configuration["steering"] = steering;
    configuration["steering"]["health"] = json!({"vote_age": "2h"});
    configuration["admin"]["token"] = json!({"file": "token"});
    for (key, value) in route.as_object().expect("a route is an object") {
        configuration["routes"][0][key] = value.clone();
    }
    configuration
}

fn prepare(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]);
    let made = made.expect("a certificate can be made");
    std::fs::write(directory.join("edge.pem"), made.cert.pem()).expect("files can be written");
    std::fs::write(directory.join("edge.key"), made.signing_key.serialize_pem())
        .expect("files can be written");
    std::fs::write(directory.join("token"), "secret").expect("files can be written");
    std::fs::write(directory.join("assets/large.bin"), vec![7; 6 << 20])
        .expect("files can be written");
}

fn silent() -> String {
    format!("http://{}", silent_address())
}

/// Other regions that never answer count as up.
fn patient() -> Value {
    json!({"interval": "1h", "timeout": "50ms", "down_after": 1000})
}

#[tokio::test]
async fn learnt_round_trips_change_the_answer() {
    let world = TestWorld::start().await;
    let path = "/assets/webapp/index.html";
    let client = world.client_in("DE");
    let before = client.get(path).await.served_by().to_owned();
    assert_eq!(before, "ams3");
    let table: String = [("ams3", 240.0), ("nyc3", 80.0), ("sgp1", 200.0)]
        .map(|(region, rtt)| format!("{GERMAN},{region},{rtt},5,{}\n", seconds()))
        .concat();
    let directory = world.directory().to_owned();
    std::fs::write(directory.join("learnt.csv"), table).expect("files can be written");
    for region in &world.ready().regions {
        let arguments = ["rtt", "import", "--config", &region.config, "learnt.csv"];
        let (status, out, err) = Gateway::command(&directory, "gateway", &arguments).await;
        assert!(status.success(), "{err}");
        assert!(out.contains("\"counted\":3"), "{out}");

        let arguments = ["rtt", "export", "--config", &region.config];
        let (_, out, err) = Gateway::command(&directory, "gateway", &arguments).await;
        assert!(
            out.contains(&format!("{GERMAN},nyc3,80.000,5,")),
            "{out}{err}"
        );

        let arguments = ["explain", "--config", &region.config, "--json", "91.64.0.1"];
        let (_, out, _) = Gateway::command(&directory, "gateway", &arguments).await;
        let explained: Value = serde_json::from_str(&out).expect("explain prints JSON");
        let first = &explained["places"][0];
        assert_eq!(
            (&first["region"], &first["reason"], &first["rtt_source"]),
            (&json!("nyc3"), &json!("measured"), &json!("measured")),
            "{out}"
        );
    }
    let request = client.request("GET", path).header("x-edge-explain", "1");
    let answer = client.send(request).await;
    assert_eq!(answer.served_by(), "nyc3");
    assert!(
        answer
            .header("x-edge-explain")
            .starts_with("nyc3;reason=measured;rtt=80.0;source=measured"),
        "{}",
        answer.header("x-edge-explain")
    );
    // The neighbours are asked nothing.
    assert_eq!(
        world.client_at("91.64.1.1").get(path).await.served_by(),
        "ams3"
    );
}

#[tokio::test]
async fn connections_are_learnt_from_and_kept_for_the_next_start() {
    let mut configuration = configuration(
        json!([{"name": "ams3"}]),
        json!({"learning": {"min_samples": 2}}),
        &json!({}),
    );
    configuration["trusted_proxies"] = json!([]);
    configuration["peers"] = json!([]);
    configuration["state_directory"] = json!(".");
    let broken = |directory: &Path| {
        prepare(directory);
        std::fs::write(directory.join("rtt.csv"), "half a fi").expect("files can be written");
    };
    let mut gateway = Gateway::start(&configuration, broken).await;
    assert!(gateway.log().contains("make no sense"), "{}", gateway.log());
    let (client, admin) = (gateway.client("http"), gateway.client("admin"));
    for _ in 0..5 {
        client.get(SMALL).await;
    }
    eventually("connections have been learnt from", async || {
        let learnt = admin.get("/api/v1/rtt").await.json();
        learnt[0]["prefix"] == "127.0.0.0/24"
            && learnt[0]["region"] == "ams3"
            && learnt[0]["samples"].as_u64() >= Some(5)
    })
    .await;
    assert!(gateway.metric("gateway_rtt_samples_total").await >= 5.0);
    gateway.signal("TERM").await;
    assert!(gateway.ended().await.success());
    let kept = std::fs::read_to_string(gateway.path("rtt.csv")).expect("it was written");
    assert!(kept.contains("127.0.0.0/24,ams3,"), "{kept}");
}

#[tokio::test]
async fn connections_of_proxies_say_nothing_of_clients_and_imports_need_the_token() {
    let regions = json!([{"name": "ams3"}]);
    let gateway = Gateway::start(&configuration(regions, json!({}), &json!({})), prepare).await;
    let (client, admin) = (gateway.client("http"), gateway.client("admin"));
    for _ in 0..5 {
        client.get(SMALL).await;
    }
    let import = |body: &str, token: &str| {
        let request = admin.request("POST", "/api/v1/rtt").body(body.to_owned());
        admin.send(request.header("authorization", format!("Bearer {token}")))
    };
    let good = format!("192.0.2.0/24,ams3,5,3,{}", seconds());
    assert_eq!(import(&good, "wrong").await.status, 401);
    let bad = import("192.0.2.0/24,ams3,five,3,1", "secret").await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["detail"], "line 1: rtt_ms is not a number");
    let impossible = "192.0.2.0/24,ams3,-5,3,1";
    assert_eq!(import(impossible, "secret").await.status, 400);
    assert_eq!(admin.get("/api/v1/rtt").await.json(), json!([]));
    assert_eq!(import(&good, "secret").await.json()["counted"], 1);
    assert_eq!(gateway.metric("gateway_rtt_samples_total").await, 0.0);
}

#[tokio::test]
async fn exploring_is_a_small_share_and_can_be_switched_off() {
    let explorers = async |share: f64| {
        let regions = json!([
            {"name": "ams3"},
            {"name": "fra1", "address": silent()},
            {"name": "sgp1", "address": silent()},
        ]);
        let steering = json!({"health_check": patient(), "learning": {"explore": share}});
        let gateway = Gateway::start(&configuration(regions, steering, &json!({})), prepare).await;
        let admin = gateway.client("admin");
        let mut explorers = BTreeSet::new();
        for network in 0..200 {
            let path = format!("/api/v1/explain?ip=91.64.{network}.1");
            let explained = admin.get(&path).await.json();
            if let Some(region) = explained["explores"].as_str() {
                assert_ne!(region, explained["places"][0]["region"], "{explained}");
                assert_ne!(
                    region, "sgp1",
                    "it is far, which nobody doubts: {explained}"
                );
                explorers.insert(network);
            }
        }
        explorers.len()
    };
    assert_eq!(explorers(0.0).await, 0);
    let some = explorers(0.1).await;
    assert!((5..45).contains(&some), "{some} of 200 networks");
}

/// Two regions; the first is the one that clients enter at.
async fn pair(route: Value) -> (Gateway, Gateway) {
    pair_with(route, "http://sgp1.test", |_| {}).await
}

async fn pair_with(
    route: Value,
    public_url: &str,
    change: impl FnOnce(&mut Value),
) -> (Gateway, Gateway) {
    let regions = |address: &str| {
        json!([
            {"name": "ams3", "address": silent()},
            {"name": "sgp1", "address": address, "public_url": public_url},
        ])
    };
    let steering = || json!({"health_check": patient(), "learning": {"explore": 0}});
    let mut far = configuration(regions(&silent()), steering(), &route);
    far["region"] = json!("sgp1");
    let far = Gateway::start(&far, prepare).await;
    let address = format!("http://{}", far.address("http"));
    let mut near = configuration(regions(&address), steering(), &route);
    change(&mut near);
    (Gateway::start(&near, prepare).await, far)
}

fn indonesian(gateway: &Gateway) -> Client {
    Client::new(&format!("http://{}", gateway.address("http")), INDONESIAN)
}

#[tokio::test]
async fn auto_keeps_small_ones_sends_large_ones_on_and_never_twice() {
    let (here, _better) = pair(json!({"steering": "auto"})).await;
    let client = indonesian(&here);
    let cold = client.get(SMALL).await;
    assert_eq!(
        (cold.status.as_u16(), cold.served_by()),
        (200, "sgp1"),
        "it is not here: carried"
    );
    // The size of what is not here is known once the better region has answered.
    for state in ["cold", "warm"] {
        let large = client.get(LARGE).await;
        assert_eq!(large.status, 307, "{state}");
        assert_eq!(
            large.header("location"),
            "http://sgp1.test/assets/large.bin",
            "{state}"
        );
        // A user nearby brings both into the cache here.
        let nearby = Client::new(&format!("http://{}", here.address("http")), "91.64.0.1");
        for path in [SMALL, LARGE] {
            assert_eq!(nearby.get(path).await.served_by(), "ams3");
        }
    }
    let warm = client.get(SMALL).await;
    assert_eq!(
        (warm.status.as_u16(), warm.served_by()),
        (200, "ams3"),
        "it is here"
    );

    let followed = client.request("GET", LARGE).header("host", "sgp1.test");
    let followed = client.send(followed).await;
    assert_eq!(followed.status, 200, "whoever was sent on once is answered");
    let part = client.request("GET", LARGE).header("range", "bytes=0-99");
    assert_eq!(client.send(part).await.status, 206, "a small part stays");
    let upload = client.request("POST", LARGE).body("x".repeat(1000));
    assert_eq!(
        client.send(upload).await.status,
        405,
        "what has a body is not sent on"
    );
    let socket = client.request("GET", LARGE);
    let socket = socket
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert_eq!(
        client.send(socket).await.status,
        200,
        "an upgrade is not sent on"
    );
    assert!(
        here.metric("gateway_corrections_total{action=\"redirect\"}")
            .await
            >= 2.0
    );
    let landed = "gateway_steered_requests_total{client_group=\"east_asia\",ideal_region=\"sgp1\",served_region=\"ams3\"}";
    assert!(here.metric(landed).await >= 1.0);
}

#[tokio::test]
async fn a_route_may_insist() {
    for (steering, get, served_by, post_served_by) in [
        ("carry", 200, "sgp1", "sgp1"),
        ("here", 200, "ams3", "ams3"),
        ("redirect", 307, "sgp1", "sgp1"),
    ] {
        let (here, _better) = pair(json!({"steering": steering})).await;
        let client = indonesian(&here);
        let answer = client.get(LARGE).await;
        assert_eq!(
            (answer.status.as_u16(), answer.served_by()),
            (get, served_by),
            "{steering}"
        );
        let post = client.request("POST", LARGE).body("x");
        let post = client.send(post).await;
        assert_eq!(
            (post.status.as_u16(), post.served_by()),
            (405, post_served_by),
            "{steering}"
        );
    }
}

#[tokio::test]
async fn only_who_shows_the_token_is_told_why() {
    let steering = json!({"explain": {"token": {"file": "token"}}});
    let regions = json!([{"name": "ams3"}]);
    let gateway = Gateway::start(&configuration(regions, steering, &json!({})), prepare).await;
    let client = gateway.client("http");
    for (token, told) in [
        (None, false),
        (Some("wrong"), false),
        (Some("secret"), true),
    ] {
        let mut request = client.request("GET", SMALL).header("x-edge-explain", "1");
        if let Some(token) = token {
            request = request.header("x-edge-explain-token", token);
        }
        let answer = client.send(request).await;
        assert_eq!(answer.status, 200);
        let header = answer.header("x-edge-explain");
        assert_eq!(
            header.starts_with("ams3;reason="),
            told,
            "{token:?}: {header:?}"
        );
    }
}

#[tokio::test]
async fn a_client_over_tls_is_told_of_the_better_region() {
    let (here, _better) = pair_with(json!({}), "https://sgp1.edge.test", |near| {
        near["steering"]["alt_svc"] = json!("1m");
        let tls = json!([{"certificate": "edge.pem", "key": "edge.key"}]);
        let https = json!({"name": "https", "address": "127.0.0.1:0", "tls": tls});
        near["listeners"] = json!([{"name": "http", "address": "127.0.0.1:0"}, https]);
    })
    .await;
    let pem = std::fs::read(here.path("edge.pem")).expect("it was written");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).expect("it is PEM")])
        .resolve("edge.test", here.address("https"))
        .no_proxy()
        .build()
        .expect("a client can be made");
    let url = format!("https://edge.test:{}{SMALL}", here.address("https").port());
    let get = async |ip: &str, alternative: Option<&str>| {
        let mut request = client.get(&url).header("x-forwarded-for", ip);
        if let Some(alternative) = alternative {
            request = request.header("alt-used", alternative);
        }
        let answer = request.send().await.expect("it answers");
        assert_eq!(answer.status(), 200);
        let header = answer.headers().get("alt-svc");
        header.map(|header| header.to_str().expect("text").to_owned())
    };
    let told = get(INDONESIAN, None).await;
    assert_eq!(told.as_deref(), Some("h2=\"sgp1.edge.test:443\"; ma=60"));
    assert_eq!(
        get("91.64.0.1", None).await,
        None,
        "this region is the best"
    );
    let used = get(INDONESIAN, Some("sgp1.edge.test")).await;
    assert_eq!(used, None, "it has followed already");
    let plain = indonesian(&here).get(SMALL).await;
    assert_eq!(plain.header("alt-svc"), "", "not without TLS");
}
