//! A dead region is left at once and rejoined gradually.

use std::time::{Duration, Instant};

use tests::{TestWorld, eventually};

const SAMPLE: &str = "/assets/webapp/index.html";

#[tokio::test]
async fn a_dead_region_is_left_and_then_rejoined() {
    let mut world = TestWorld::start().await;
    let client = world.client_in("ID");
    assert_eq!(client.get(SAMPLE).await.served_by(), "sgp1");

    let killed = Instant::now();
    world
        .region("sgp1")
        .expect("there is one")
        .kill()
        .await
        .expect("it can be killed");
    let mut failed_late = Vec::new();
    while killed.elapsed() < Duration::from_secs(3) {
        match client.try_get(SAMPLE).await {
            Ok(answer) if answer.status == 200 => assert_ne!(answer.served_by(), "sgp1"),
            other => {
                let after = killed.elapsed();
                if after > Duration::from_secs(1) {
                    failed_late.push((after, format!("{other:?}")));
                }
            }
        }
    }
    assert!(failed_late.is_empty(), "{failed_late:?}");

    let region = world.region("sgp1").expect("there is one");
    region.start().expect("it can be started");
    region.ready().await.expect("it becomes ready");
    eventually("its users are back", async || {
        client.get(SAMPLE).await.served_by() == "sgp1"
    })
    .await;
}

#[tokio::test]
async fn users_return_a_few_at_a_time() {
    let mut world = TestWorld::with_slow_start("1h").await;
    // Networks of one provider in Indonesia; each is steered as a whole.
    let clients: Vec<_> = (0..60)
        .map(|n| world.client_at(&format!("36.66.{n}.1")))
        .collect();
    let served = async |clients: &[tests::Client]| {
        let mut count = 0;
        for client in clients {
            count += usize::from(client.get(SAMPLE).await.served_by() == "sgp1");
        }
        count
    };
    assert_eq!(served(&clients).await, clients.len());

    let region = world.region("sgp1").expect("there is one");
    region.kill().await.expect("it can be killed");
    // Who is back before anybody has agreed on its death was not gone.
    for other in &world.ready().regions[..2] {
        let admin = tests::Client::new(&other.admin, "127.0.0.1");
        eventually("the others see it down", async || {
            let regions = admin.get("/api/v1/regions").await.json();
            regions[2]["usable_for_world"] == false
        })
        .await;
    }
    assert_eq!(served(&clients).await, 0);
    let region = world.region("sgp1").expect("there is one");
    region.start().expect("it can be started");
    region.ready().await.expect("it becomes ready");
    eventually("some are back", async || served(&clients).await > 0).await;
    let back = served(&clients).await;
    assert!(
        back < clients.len() / 3,
        "{back} of {} are back at once",
        clients.len()
    );
}
