//! Assets through the whole system: ranges, conditions, coalescing, purge, and a store that goes away.

use bytes::Bytes;
use futures_util::future::join_all;
use gateway::demo::s3_store::NewObject;
use gateway::demo::samples;
use tests::{Client, TestWorld, eventually};

const SAMPLE: &str = "/assets/webapp/index.html";
const OTHER: &str = "/assets/webapp/logo.svg";

fn noise(length: usize) -> Bytes {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

#[tokio::test]
async fn many_clients_of_one_cold_object_share_each_fetch() {
    let world = TestWorld::start().await;
    let body = noise(8 << 20);
    let object = NewObject::new(
        "big/cold.bin",
        "application/octet-stream",
        std::iter::once(body.clone()),
    );
    world.store.put(object).await.expect("the store takes it");

    let client = world.client_in("US");
    let answers = join_all((0..60).map(|_| client.get("/assets/big/cold.bin"))).await;
    for answer in &answers {
        assert_eq!(answer.served_by(), "nyc3");
        assert!(
            answer.body == body,
            "{} bytes, {:?}",
            answer.body.len(),
            answer.headers
        );
    }
    assert_eq!(
        world.store_gets("nyc3", "big/cold.bin"),
        2,
        "slices of 4 MiB, each once"
    );
}

/// The slices of the demo's regions: the default.
const SLICE: u64 = 4 << 20;

#[tokio::test]
async fn a_cold_large_object_comes_from_the_far_store_in_slices_several_at_once() {
    let world = TestWorld::with_distance().await;
    let large = samples::large();
    let (path, slices) = (large.path(), large.length() / SLICE);
    let body = large.body().collect::<Vec<_>>().concat();
    let stored = world.store.put(large.to_object()).await;
    stored.expect("the store takes it");
    let asked = || world.store_requests("sgp1", large.key());
    let client = Client::new(&world.ready().regions[2].http, "36.66.0.1");
    // As if carried there already, so that it answers itself, whatever it has heard of the others.
    let get = |range: Option<String>| {
        let request = client.request("GET", &path).header("x-edge-hops", "1");
        range
            .into_iter()
            .fold(request, |request, range| request.header("range", range))
    };

    let (from, to) = (12 * SLICE, 12 * SLICE + (1 << 20));
    let range = format!("bytes={from}-{}", to - 1);
    let part = client.send(get(Some(range))).await;
    assert_eq!(
        (part.served_by(), part.status.as_u16()),
        ("sgp1", 206),
        "{:?}",
        part.headers
    );
    assert!(part.body == body[from as usize..to as usize]);
    let one = asked();
    assert_eq!((one.get, one.get_range), (1, 1), "the slice with the range");

    let whole = client.send(get(None)).await;
    assert!(
        whole.body == body,
        "{} bytes, {:?}",
        whole.body.len(),
        whole.headers
    );
    let all = asked();
    assert_eq!(
        (all.get, all.get_range, all.get_failed),
        (slices, slices, 0),
        "each slice once, and nothing but slices"
    );
    assert!(all.get_at_once > 2, "{} at once", all.get_at_once);
    assert!(client.send(get(None)).await.is_hit());
    assert_eq!(asked().get, slices);
}

#[tokio::test]
async fn ranges_and_conditions_hold_across_regions() {
    let world = TestWorld::start().await;
    let client = world.client_in("ID");
    let whole = client.get(SAMPLE).await;
    let get = |name: &'static str, value: String| client.request("GET", SAMPLE).header(name, value);

    let part = client.send(get("range", "bytes=3-9".into())).await;
    assert_eq!(
        (part.status.as_u16(), &part.body[..]),
        (206, &whole.body[3..10])
    );
    assert_eq!(
        part.header("content-range"),
        format!("bytes 3-9/{}", whole.body.len())
    );

    let beyond = client.send(get("range", "bytes=99999999-".into())).await;
    assert_eq!(beyond.status, 416);
    assert_eq!(
        beyond.header("content-range"),
        format!("bytes */{}", whole.body.len())
    );

    let malformed = client.send(get("range", "bytes=9-3,oops".into())).await;
    assert_eq!(
        (malformed.status.as_u16(), malformed.body.len()),
        (200, whole.body.len())
    );

    let unchanged = client
        .send(get("if-none-match", whole.header("etag").into()))
        .await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));

    let head = client.send(client.request("HEAD", SAMPLE)).await;
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        (whole.header("content-length"), 0)
    );
}

#[tokio::test]
async fn a_purge_needs_the_token_and_is_felt_at_once() {
    let world = TestWorld::start().await;
    let client = world.client_in("DE");
    client.get(SAMPLE).await;
    assert!(client.get(SAMPLE).await.is_hit());

    let admin = Client::new(&world.ready().regions[1].admin, "127.0.0.1");
    let purge = || {
        admin
            .request("POST", "/api/v1/purge")
            .header("content-type", "application/json")
            .body(format!(r#"{{"key": "{SAMPLE}"}}"#))
    };
    assert_eq!(admin.send(purge()).await.status, 401);
    assert!(client.get(SAMPLE).await.is_hit());

    let token =
        std::fs::read_to_string(world.directory().join("admin-token")).expect("there is a token");
    let purged = admin.send(purge().bearer_auth(token)).await;
    assert_eq!(purged.status, 200, "{purged:?}");
    assert!(!client.get(SAMPLE).await.is_hit());
}

#[tokio::test]
async fn the_cache_goes_on_while_the_store_is_away_and_readiness_says_so() {
    let world = TestWorld::start().await;
    let client = world.client_in("DE");
    let cached = client.get(SAMPLE).await;
    world.store.stop().await.expect("it can be stopped");

    let still = client.get(SAMPLE).await;
    assert_eq!((still.status.as_u16(), &still.body), (200, &cached.body));
    let missing = client.get(OTHER).await;
    assert_eq!(
        (missing.status.as_u16(), missing.header("content-type")),
        (502, "application/problem+json")
    );
    assert!(
        missing.header("proxy-status").contains("error="),
        "{:?}",
        missing.headers
    );

    let admin = Client::new(&world.ready().regions[1].admin, "127.0.0.1");
    eventually("readiness names the origin, and stays", async || {
        let readiness = admin.get("/readyz").await;
        let finding = &readiness.json()["findings"][0];
        readiness.status == 200
            && finding["what"] == "origin of /assets/"
            && finding["why"].is_string()
    })
    .await;
    world
        .store
        .restart()
        .await
        .expect("it can be started again");
    eventually("what was missing is there", async || {
        client.get(OTHER).await.status == 200
    })
    .await;
}
