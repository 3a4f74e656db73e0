//! What regions together make of a region: a dead one leaves the world in time and returns gradually, one
//! observer alone takes nobody out, and a lost upstream costs its own routes only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Client, Gateway, Link, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const REGIONS: [&str; 3] = ["ams3", "nyc3", "sgp1"];
const ASSET: &str = "/assets/hello.txt";

/// Three gateways with the default checks, each reaching each over a way that can be cut.
struct Fleet {
    gateways: HashMap<&'static str, Gateway>,
    ways: HashMap<(&'static str, &'static str), Link>,
    steering: Value,
}

impl Fleet {
    async fn start(steering: Value, jobs: impl Fn(&str) -> Vec<String>) -> Self {
        let mut ways = HashMap::new();
        for from in REGIONS {
            for to in REGIONS {
                ways.insert((from, to), Link::start().await);
            }
        }
        let mut fleet = Self {
            gateways: HashMap::new(),
            ways,
            steering,
        };
        for region in REGIONS {
            fleet.launch(region, &jobs(region)).await;
        }
        for observer in REGIONS {
            eventually("everybody is up", async || {
                let regions = fleet.regions(observer).await;
                regions.as_array().is_some_and(|all| {
                    let votes = |region: &Value| region["votes"].as_array().map_or(0, Vec::len);
                    all.iter()
                        .all(|region| region["reason"] == "up" && votes(region) == 2)
                })
            })
            .await;
        }
        fleet
    }

    async fn launch(&mut self, region: &'static str, jobs: &[String]) {
        let mut configuration = Gateway::configuration();
        let regions = REGIONS.map(|to| {
            let way = self.ways[&(region, to)].address();
            json!({"name": to, "address": format!("http://{way}")})
        });
        configuration["region"] = json!(region);
        configuration["regions"] = json!(regions);
        configuration["peers"] = json!(["127.0.0.0/8"]);
        configuration["steering"] = self.steering.clone();
        if !jobs.is_empty() {
            configuration["upstreams"] = json!({"jobs": {"endpoints": jobs}});
            let jobs = json!({"name": "jobs", "match": {"path": {"prefix": "/jobs"}}, "action": {"upstream": {"name": "jobs"}}});
            if let Some(routes) = configuration["routes"].as_array_mut() {
                routes.push(jobs);
            }
        }
        let gateway = Gateway::start(&configuration, |_| {}).await;
        for from in REGIONS {
            self.ways[&(from, region)].lead_to(gateway.address("http"));
        }
        self.gateways.insert(region, gateway);
    }

    /// What a region's private listener says about all of them.
    async fn regions(&self, observer: &str) -> Value {
        self.gateways[observer]
            .client("admin")
            .get("/api/v1/regions")
            .await
            .json()
    }

    async fn region(&self, observer: &str, name: &str) -> Value {
        let regions = self.regions(observer).await;
        let mut regions = regions.as_array().into_iter().flatten();
        regions
            .find(|region| region["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// Somebody in Indonesia, whose nearest region is sgp1, who enters at `region`.
    fn client(&self, region: &str, network: u8) -> Client {
        let base = format!("http://{}", self.gateways[region].address("http"));
        Client::new(&base, &format!("36.66.{network}.1"))
    }
}

#[tokio::test]
async fn a_killed_region_leaves_the_world_within_three_seconds_no_request_fails_and_it_climbs_back()
{
    let mut fleet = Fleet::start(json!({"slow_start": "12s"}), |_| Vec::new()).await;
    let client = fleet.client("ams3", 0);
    assert_eq!(client.get(ASSET).await.served_by(), "sgp1");

    // A client that never stops asking a living gateway.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let asking = tokio::spawn(async move {
        let (mut asked, mut failed, mut stopped) = (0_u32, Vec::new(), stopped);
        while stopped.try_recv().is_err() {
            asked += 1;
            match client.try_get(ASSET).await {
                Ok(answer) if answer.status == 200 => {}
                other => failed.push(format!("{other:?}")),
            }
        }
        (asked, failed)
    });
    fleet.gateways["sgp1"].signal("KILL").await;
    let killed = Instant::now();
    for observer in ["ams3", "nyc3"] {
        eventually("sgp1 is out for the world", async || {
            fleet.region(observer, "sgp1").await["usable_for_world"] == false
        })
        .await;
    }
    let out = killed.elapsed();
    println!("out for the world after {out:?}");
    assert!(out < Duration::from_secs(3), "only after {out:?}");
    let seen = fleet.region("ams3", "sgp1").await;
    assert_eq!(seen["reason"], "down", "{seen}");
    stop.send(()).expect("it still asks");
    let (asked, failed) = asking.await.expect("it does not panic");
    println!("{asked} requests, {} failed", failed.len());
    assert!(asked > 10);
    assert!(failed.is_empty(), "{failed:?}");

    fleet.launch("sgp1", &[]).await;
    eventually("it gets its first users back", async || {
        fleet.region("ams3", "sgp1").await["share"].as_f64() > Some(0.0)
    })
    .await;
    let back = Instant::now();
    let first = fleet.region("ams3", "sgp1").await;
    assert!(first["share"].as_f64() < Some(0.5), "{first}");
    assert_eq!(first["reason"], "returning");
    eventually("it has all its users", async || {
        fleet.region("ams3", "sgp1").await["share"] == 1.0
    })
    .await;
    let climbed = back.elapsed();
    println!("climbed for {climbed:?}");
    assert!(climbed > Duration::from_secs(10), "within {climbed:?}");
}

/// Whose packets are dropped refuses nothing, so each look has to wait for its end.
#[tokio::test]
async fn a_region_that_falls_silent_leaves_the_world_a_little_later() {
    let fleet = Fleet::start(json!({}), |_| Vec::new()).await;
    let silenced = Instant::now();
    for observer in ["ams3", "nyc3"] {
        fleet.ways[&(observer, "sgp1")].silence();
    }
    for observer in ["ams3", "nyc3"] {
        eventually("sgp1 is out for the world", async || {
            fleet.region(observer, "sgp1").await["usable_for_world"] == false
        })
        .await;
    }
    let out = silenced.elapsed();
    println!("out for the world after {out:?}");
    assert!(out < Duration::from_secs(8), "only after {out:?}");
}

#[tokio::test]
async fn an_observer_that_alone_cannot_reach_a_region_goes_around_it_and_takes_it_out_for_nobody() {
    let steering = json!({
        "health_check": {"interval": "200ms", "up_after": 2},
        "slow_start": "0s",
    });
    let fleet = Fleet::start(steering, |_| Vec::new()).await;
    fleet.ways[&("ams3", "sgp1")].cut();
    eventually("ams3 knows that only it cannot", async || {
        fleet.region("ams3", "sgp1").await["reason"] == "unreachable_from_here"
    })
    .await;
    // For as long as several votes take to arrive, and to grow stale.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        for observer in REGIONS {
            let seen = fleet.region(observer, "sgp1").await;
            assert_eq!(
                seen["usable_for_world"], true,
                "as {observer} sees it: {seen}"
            );
        }
        let answer = fleet.client("ams3", 0).get(ASSET).await;
        assert_eq!(
            (answer.status.as_u16(), answer.served_by() != "sgp1"),
            (200, true)
        );
        for entry in ["nyc3", "sgp1"] {
            let served_by = fleet
                .client(entry, 0)
                .get(ASSET)
                .await
                .served_by()
                .to_owned();
            assert_eq!(served_by, "sgp1", "of one who enters at {entry}");
        }
    }
    let vote = fleet.region("nyc3", "sgp1").await["votes"].clone();
    assert!(vote.to_string().contains("\"fails\""), "{vote}");
}

/// An application that answers every request, until it is aborted.
async fn application() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0
            {
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_region_whose_upstream_is_gone_keeps_its_assets_and_gets_its_jobs_back() {
    let steering = json!({
        "health_check": {"interval": "200ms", "up_after": 2},
        "slow_start": "0s",
    });
    let (near, task) = application().await;
    let (far, _keep) = application().await;
    let fleet = Fleet::start(steering, |region| match region {
        "sgp1" => vec![near.clone()],
        _ => vec![far.clone()],
    })
    .await;
    let client = fleet.client("ams3", 0);
    assert_eq!(client.get("/jobs").await.served_by(), "sgp1");
    task.abort();
    // What finds it out may fail; what follows may not.
    eventually("jobs go elsewhere", async || {
        let answer = client.get("/jobs").await;
        answer.status == 200 && answer.served_by() != "sgp1"
    })
    .await;
    for observer in REGIONS {
        eventually("everybody knows", async || {
            fleet.region(observer, "sgp1").await["capabilities"]["upstreams"]["jobs"] == false
        })
        .await;
    }
    for entry in REGIONS {
        let client = fleet.client(entry, 0);
        let jobs = client.get("/jobs").await;
        assert_eq!(
            (jobs.status.as_u16(), jobs.served_by() != "sgp1"),
            (200, true),
            "at {entry}"
        );
        assert_eq!(client.get(ASSET).await.served_by(), "sgp1", "at {entry}");
    }
    let readiness = fleet.gateways["sgp1"].client("admin").get("/readyz").await;
    assert_eq!(readiness.status, 200);
    assert!(
        readiness.json().to_string().contains("upstream jobs"),
        "{readiness:?}"
    );

    // Nobody sends a job there now, and yet it is noticed when the application is back.
    let address = near.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(&address)
        .await
        .expect("its port is free again");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
        }
    });
    eventually("jobs are back", async || {
        let answer = client.get("/jobs").await;
        answer.status == 200 && answer.served_by() == "sgp1"
    })
    .await;
}

/// One gateway whose other regions are at these addresses.
fn alone(others: &[(&str, String)], health: &Value) -> Value {
    let mut configuration = Gateway::configuration();
    let mut regions = vec![json!({"name": "ams3"})];
    let other = |(name, address): &(&str, String)| json!({"name": name, "address": format!("http://{address}")});
    regions.extend(others.iter().map(other));
    configuration["regions"] = json!(regions);
    configuration["steering"] = json!({
        "health_check": {"interval": "200ms", "timeout": "100ms"},
        "health": health,
    });
    configuration
}

async fn reasons(gateway: &Gateway) -> Vec<String> {
    let regions = gateway.client("admin").get("/api/v1/regions").await.json();
    let all = regions.as_array().cloned().unwrap_or_default();
    let reason = |region: &Value| region["reason"].as_str().unwrap_or_default().to_owned();
    all.iter().map(reason).collect()
}

#[tokio::test]
async fn health_takes_out_no_more_regions_than_it_may() {
    let nobody = || "127.0.0.1:1".to_owned();
    let others = [("nyc3", nobody()), ("sgp1", nobody())];
    let gateway = Gateway::start(&alone(&others, &json!({"max_removed": 0.3})), |_| {}).await;
    eventually(
        "one is down, and the other stays for want of more",
        async || {
            let mut seen = reasons(&gateway).await;
            seen.sort();
            seen == ["down", "fail_open", "up"]
        },
    )
    .await;
}

#[tokio::test]
async fn when_all_fail_a_request_is_refused_or_tried_as_the_configuration_says() {
    for (when_all_fail, status) in [("closed", 503), ("open", 502)] {
        let others = [("nyc3", "127.0.0.1:1".to_owned())];
        let health = json!({"when_all_fail": when_all_fail});
        let mut configuration = alone(&others, &health);
        configuration["upstreams"] = json!({"jobs": {"endpoints": [], "regions": ["nyc3"]}});
        configuration["routes"][0] = json!({"name": "jobs", "match": {"path": {"prefix": "/jobs"}}, "action": {"upstream": {"name": "jobs"}}});
        let gateway = Gateway::start(&configuration, |_| {}).await;
        eventually("the only region that has jobs fails", async || {
            reasons(&gateway).await.iter().any(|reason| reason != "up")
        })
        .await;
        let answer = gateway.client("http").get("/jobs/1").await;
        assert_eq!(answer.status, status, "{when_all_fail}");
    }
}

#[tokio::test]
async fn a_region_whose_carried_requests_fail_is_ejected_though_its_checks_are_good() {
    let mut far = Gateway::configuration();
    far["region"] = json!("sgp1");
    far["regions"] = json!([{"name": "sgp1"}]);
    far["peers"] = json!(["127.0.0.0/8"]);
    // It takes connections and never answers.
    let silent = format!("http://{}", tests::silent_address());
    far["upstreams"] = json!({"jobs": {"endpoints": [silent], "timeouts": {"first_byte": "20ms"}}});
    let jobs = json!({"name": "jobs", "match": {"path": {"prefix": "/jobs"}}, "action": {"upstream": {"name": "jobs"}}});
    far["routes"] = json!([jobs]);
    let far = Gateway::start(&far, |_| {}).await;

    let others = [("sgp1", far.address("http").to_string())];
    let mut near = alone(&others, &json!({}));
    near["upstreams"] = json!({"jobs": {"endpoints": [], "regions": ["sgp1"]}});
    near["routes"] = json!([jobs]);
    let near = Gateway::start(&near, |_| {}).await;
    eventually("it is up", async || reasons(&near).await == ["up", "up"]).await;
    let client = near.client("http");
    for _ in 0..25 {
        assert_eq!(client.get("/jobs/1").await.status, 504);
    }
    eventually("it is ejected", async || {
        reasons(&near).await == ["up", "ejected"]
    })
    .await;
    assert!(
        near.metric("gateway_region_ejections_total{region=\"sgp1\"}")
            .await
            >= 1.0
    );
}
