//! A region that is killed while it fills its disk cache never serves a wrong byte afterwards.

use bytes::Bytes;
use gateway::demo::s3_store::NewObject;
use tests::TestWorld;

#[tokio::test]
async fn what_was_whole_before_a_crash_is_still_a_hit_and_what_was_not_is_fetched_again() {
    let mut world = TestWorld::start().await;
    let body = |n: u8| Bytes::from(vec![n; 3 << 20]);
    for n in 0..8 {
        let object = NewObject::new(
            format!("crash/{n}"),
            "application/octet-stream",
            std::iter::once(body(n)),
        );
        world.store.put(object).await.expect("the store takes it");
    }
    let ready = world.ready();
    let client = tests::Client::new(&ready.regions[0].http, "128.135.0.1");
    assert_eq!(client.get("/assets/crash/0").await.body, body(0));
    tests::eventually("the object is on disk", async || {
        let cache = tests::Client::new(&ready.regions[0].admin, "127.0.0.1")
            .get("/api/v1/cache")
            .await;
        cache.json()["disk"]["objects"] == 1
    })
    .await;

    // The others are on their way when the process dies.
    let fills: Vec<_> = (1..8)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                client
                    .try_get(&format!("/assets/crash/{n}"))
                    .await
                    .map(|answer| answer.body)
            })
        })
        .collect();
    let region = world.region("nyc3").expect("there is one");
    tokio::task::yield_now().await;
    region.kill().await.expect("it can be killed");
    for (n, fill) in (1..).zip(fills) {
        if let Ok(whole) = fill.await.expect("the task ends") {
            assert_eq!(whole, body(n), "an answer that ended well was wrong");
        }
    }

    region.start().expect("it can be started");
    region.ready().await.expect("it becomes ready");
    let whole = client.get("/assets/crash/0").await;
    assert!(
        whole.is_hit() && whole.body == body(0),
        "{:?}",
        whole.headers
    );
    for n in 1..8 {
        assert!(
            client.get(&format!("/assets/crash/{n}")).await.body == body(n),
            "object {n}"
        );
    }
}
