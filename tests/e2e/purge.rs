//! Purges through the whole system: asked for in one region, done in all, caught up with by one that was
//! away.

use bytes::Bytes;
use gateway::demo::s3_store::NewObject;
use serde_json::{Value, json};
use tests::{Client, Gateway, TestWorld, eventually};

const PATH: &str = "/assets/purge/page.html";

async fn put(world: &TestWorld, body: &'static str) {
    let body = std::iter::once(Bytes::from_static(body.as_bytes()));
    let object = NewObject::new("purge/page.html", "text/html", body);
    world.store.put(object).await.expect("the store takes it");
}

/// The page as each region has it, without steering to another.
async fn pages(world: &TestWorld) -> Vec<String> {
    let mut pages = Vec::new();
    for (region, ip) in [
        ("nyc3", "128.135.0.1"),
        ("ams3", "91.64.0.1"),
        ("sgp1", "36.66.0.1"),
    ] {
        let regions = world.ready().regions;
        let region = regions.iter().find(|one| one.name == region);
        let client = Client::new(&region.expect("it is there").http, ip);
        let answer = client.get(PATH).await;
        pages.push(String::from_utf8_lossy(&answer.body).into_owned());
    }
    pages
}

fn admin(world: &TestWorld, region: usize) -> Client {
    Client::new(&world.ready().regions[region].admin, "127.0.0.1")
}

async fn purge(world: &TestWorld, how: &str) -> Value {
    let token = std::fs::read_to_string(world.directory().join("admin-token"));
    let admin = admin(world, 1);
    let request = admin
        .request("POST", &format!("/api/v1/purge{how}"))
        .bearer_auth(token.expect("there is a token"))
        .body(json!({"key": PATH}).to_string());
    admin.send(request).await.json()
}

#[tokio::test]
async fn a_purge_asked_for_in_one_region_is_done_and_acknowledged_by_all_three() {
    let world = TestWorld::start().await;
    put(&world, "old").await;
    assert_eq!(pages(&world).await, ["old"; 3]);
    put(&world, "new").await;
    assert_eq!(pages(&world).await, ["old"; 3], "it is fresh");
    let answer = purge(&world, "").await;
    assert_eq!(
        answer["regions"],
        json!({"done": ["ams3", "nyc3", "sgp1"], "pending": []}),
        "{answer}"
    );
    assert_eq!(pages(&world).await, ["new"; 3]);

    let ready = world.ready();
    let token = world.directory().join("admin-token");
    let arguments = [
        "purge",
        "--admin",
        &ready.regions[2].admin,
        "--token-file",
        token.to_str().expect("text"),
        "--prefix",
        "/assets/purge/",
    ];
    let (status, out, err) = Gateway::command(world.directory(), "asset-server", &arguments).await;
    assert_eq!(status.code(), Some(0), "{out}{err}");
    for line in ["nyc3/", "ams3/", "sgp1/", "purged everywhere"] {
        assert!(out.contains(line), "{out}");
    }
}

#[tokio::test]
async fn a_region_that_was_away_is_named_and_catches_up_before_it_serves() {
    let mut world = TestWorld::start().await;
    put(&world, "old").await;
    assert_eq!(pages(&world).await, ["old"; 3]);
    put(&world, "new").await;
    let away = world.region("sgp1").expect("it is there");
    away.kill().await.expect("it can be killed");

    let answer = purge(&world, "?wait=100ms").await;
    assert_eq!(
        answer["regions"],
        json!({"done": ["ams3", "nyc3"], "pending": ["sgp1"]}),
        "{answer}"
    );
    let token = world.directory().join("admin-token");
    let ready = world.ready();
    let arguments = [
        "purge",
        "--admin",
        &ready.regions[0].admin,
        "--token-file",
        token.to_str().expect("text"),
        "--key",
        PATH,
        "--wait",
        "100ms",
    ];
    let (status, out, err) = Gateway::command(world.directory(), "asset-server", &arguments).await;
    assert_eq!(status.code(), Some(1), "{out}{err}");
    assert!(out.contains("not yet in sgp1"), "{out}");

    let back = world.region("sgp1").expect("it is there");
    back.start().expect("it starts");
    back.ready().await.expect("it is ready");
    assert_eq!(pages(&world).await, ["new"; 3]);
    let state = format!(
        "/api/v1/purge/{}",
        answer["id"].as_str().unwrap_or_default()
    );
    eventually("every region says that it has done it", async || {
        admin(&world, 0).get(&state).await.json()["complete"] == true
    })
    .await;
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_region_of_a_purge() {
    let world = TestWorld::start().await;
    put(&world, "kept").await;
    assert_eq!(pages(&world).await, ["kept"; 3]);
    put(&world, "newer").await;
    // Without a certificate of a region this is a path like any other.
    let client = Client::new(&world.ready().regions[0].http, "127.0.0.1");
    let request = client.request("POST", "/.well-known/edge/purge?local=true");
    let body = format!(r#"[{{"key":"{PATH}"}}]"#);
    let answer = client
        .send(request.header("x-edge-hops", "1").body(body))
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(pages(&world).await, ["kept"; 3]);
}
