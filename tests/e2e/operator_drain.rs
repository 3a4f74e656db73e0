//! An operator drains a region from anywhere: its users go elsewhere, restarts change nothing, and when it
//! is undone they come back a few at a time.

use serde_json::{Value, json};
use tests::{Client, Gateway, TestWorld, eventually};

const SAMPLE: &str = "/assets/webapp/index.html";

/// Networks of one provider in Indonesia; each is steered as a whole.
const NETWORKS: usize = 60;

/// `gateway VERB REGION …` at the admin listener of another region.
async fn order(world: &TestWorld, at: usize, arguments: &[&str]) -> (i32, String, String) {
    let ready = world.ready();
    let token = world.directory().join("admin-token");
    let mut all = arguments.to_vec();
    let token = token.to_str().expect("text").to_owned();
    all.extend(["--admin", &ready.regions[at].admin, "--token-file", &token]);
    let (status, out, err) = Gateway::command(world.directory(), "gateway", &all).await;
    (status.code().unwrap_or(-1), out, err)
}

/// What a region says of `sgp1`.
async fn sgp1(world: &TestWorld, at: usize) -> Value {
    let admin = Client::new(&world.ready().regions[at].admin, "127.0.0.1");
    let regions = admin.try_get("/api/v1/regions").await.map(|a| a.json());
    let regions = regions.unwrap_or_default();
    let all = regions.as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|region| region["name"] == "sgp1");
    found.unwrap_or_default()
}

async fn kill_and_start(world: &mut TestWorld, names: &[&str]) {
    for name in names {
        let region = world.region(name).expect("there is one");
        region.kill().await.expect("it can be killed");
    }
    for name in names {
        let region = world.region(name).expect("there is one");
        region.start().expect("it can be started");
    }
    for name in names {
        let region = world.region(name).expect("there is one");
        region.ready().await.expect("it becomes ready");
    }
}

/// How many of some networks in Indonesia are served where they are nearest.
async fn served(world: &TestWorld) -> usize {
    let mut count = 0;
    for n in 0..NETWORKS {
        let client = world.client_at(&format!("36.66.{n}.1"));
        let answer = client.try_get(SAMPLE).await;
        count += usize::from(answer.is_ok_and(|answer| answer.served_by() == "sgp1"));
    }
    count
}

#[tokio::test]
async fn a_drain_from_another_region_moves_users_and_outlives_every_restart() {
    let mut world = TestWorld::with_slow_start("1h").await;
    assert_eq!(served(&world).await, NETWORKS);

    let (code, out, err) = order(
        &world,
        1,
        &["drain", "sgp1", "--reason", "new disks", "--author", "ops"],
    )
    .await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out.matches("yes").count(), 3, "all three have heard: {out}");
    assert_eq!(served(&world).await, 0);
    for at in 0..3 {
        let seen = sgp1(&world, at).await;
        assert_eq!(seen["status"], "drained", "{seen}");
        assert_eq!(seen["order"]["reason"], "new disks", "{seen}");
        assert_eq!(seen["order"]["author"], "ops", "{seen}");
    }

    // Its own restart, and that of everything at once.
    kill_and_start(&mut world, &["sgp1"]).await;
    assert_eq!(served(&world).await, 0);
    kill_and_start(&mut world, &["nyc3", "ams3", "sgp1"]).await;
    eventually("somebody answers", async || {
        let answer = world.client_in("ID").try_get(SAMPLE).await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(served(&world).await, 0);

    // Undone at the drained region itself.
    let (code, out, err) = order(&world, 2, &["undrain", "sgp1", "--json"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["complete"], true, "{answer}");
    assert_eq!(answer["kept"], true, "{answer}");
    eventually("some are back", async || served(&world).await > 0).await;
    let back = served(&world).await;
    assert!(back < NETWORKS / 3, "{back} of {NETWORKS} are back at once");
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_with_what_to_do() {
    let world = TestWorld::start().await;
    for (arguments, code, expected) in [
        (
            &["drain", "moon1", "--reason", "x"][..],
            2,
            "not among the regions: nyc3, ams3, sgp1",
        ),
        (&["drain", "sgp1", "--reason", " "], 2, "needs a reason"),
        (
            &["drain", "sgp1", "--reason", "first"],
            0,
            "sgp1 is drained",
        ),
        (&["drain", "nyc3", "--reason", "second"], 0, "whoami, jobs"),
        (
            &["drain", "ams3", "--reason", "last"],
            2,
            "undrain another first, or force it",
        ),
        (
            &["drain", "ams3", "--reason", "last", "--force"],
            0,
            "ams3 is drained",
        ),
    ] {
        let (got, out, err) = order(&world, 0, arguments).await;
        assert_eq!(got, code, "{arguments:?}: {out}{err}");
        assert!(
            format!("{out}{err}").contains(expected),
            "{arguments:?}: {out}{err}"
        );
    }
    // Never an empty answer: with everything drained the nearest serve all the same.
    let answer = world.client_in("DE").get(SAMPLE).await;
    assert_eq!((answer.status.as_u16(), answer.served_by()), (200, "ams3"));

    let admin = Client::new(&world.ready().regions[0].admin, "127.0.0.1");
    let body = json!({"region": "sgp1", "drain": false}).to_string();
    let without = admin.request("POST", "/api/v1/drain").body(body.clone());
    assert_eq!(admin.send(without).await.status, 401);
    let token =
        std::fs::read_to_string(world.directory().join("admin-token")).expect("it is there");
    for body in [
        "",
        "{",
        "[]",
        r#"{"region": 7}"#,
        r#"{"region": "sgp1", "drain": true, "why": 1}"#,
    ] {
        let request = admin.request("POST", "/api/v1/drain").bearer_auth(&token);
        let answer = admin.send(request.body(body)).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}
