//! Assets from asset servers in processes of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Client, Gateway, eventually, program};
use tokio::process::{Child, Command};

/// An asset server in front of `DIRECTORY/assets`.
struct AssetServer {
    name: &'static str,
    address: String,
    process: Child,
}

impl AssetServer {
    /// Starts one on `address`; port 0 is a free one.
    async fn start(directory: &Path, name: &'static str, address: &str) -> Self {
        let configuration = json!({
            "listeners": [{"address": address}],
            "admin": {"address": "127.0.0.1:0"},
            "assets": {"region": name, "mounts": [{"path": "/assets/", "origin": {"directory": {"path": "assets"}}}]},
        });
        let file = directory.join(format!("{name}.yaml"));
        std::fs::write(&file, configuration.to_string()).expect("it can be written");
        let log = directory.join(format!("{name}.log"));
        let process = Command::new(program("asset-server"))
            .args(["run", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("it can be written"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let mut address = None;
        eventually("the asset server says where it serves", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let mut lines = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let serving = lines.find(|line| line["message"] == "serving");
            address = serving.and_then(|line| line["address"].as_str().map(str::to_owned));
            address.is_some()
        })
        .await;
        Self {
            name,
            address: address.unwrap_or_default(),
            process,
        }
    }
}

/// A gateway in front of asset servers.
async fn gateway(servers: &[AssetServer]) -> Gateway {
    let mut configuration = Gateway::configuration();
    let endpoints = servers
        .iter()
        .map(|server| format!("http://{}", server.address));
    configuration["asset_server"] =
        json!({"remote": {"endpoints": endpoints.collect::<Vec<_>>(), "http2": true}});
    Gateway::start(&configuration, |_| {}).await
}

#[tokio::test]
async fn a_gateway_passes_assets_on_from_an_asset_server_of_its_own() {
    let directory = Gateway::directory(&json!({}), |_| {});
    let servers = [AssetServer::start(directory.path(), "ams3", "127.0.0.1:0").await];
    let gateway = gateway(&servers).await;
    let client = gateway.client("http");
    let first = client.get("/assets/hello.txt").await;
    assert_eq!(
        (first.status.as_u16(), first.body.len()),
        (200, 1300),
        "{first:?}"
    );
    let second = client.get("/assets/hello.txt").await;
    assert!(second.is_hit(), "{:?}", second.headers);
    assert_eq!(second.served_by(), "ams3");
}

const OBJECTS: usize = 60;

/// A directory with objects that no two names share.
fn objects() -> TempDir {
    Gateway::directory(&json!({}), |directory| {
        for n in 0..OBJECTS {
            let path = directory.join(format!("assets/object-{n}"));
            std::fs::write(path, format!("object {n}")).expect("it can be written");
        }
    })
}

/// Asks for every object: by object the server that answered, and the objects that had to be fetched.
async fn survey(client: &Client) -> (BTreeMap<usize, String>, Vec<usize>) {
    let (mut holders, mut fetched) = (BTreeMap::new(), Vec::new());
    for n in 0..OBJECTS {
        let answer = client.get(&format!("/assets/object-{n}")).await;
        assert_eq!(answer.body, format!("object {n}"), "{answer:?}");
        let status = answer.header("cache-status");
        let holder = status.split(';').next().unwrap_or_default();
        holders.insert(n, holder.to_owned());
        if !answer.is_hit() {
            fetched.push(n);
        }
    }
    (holders, fetched)
}

#[tokio::test]
async fn three_asset_servers_hold_each_object_once_and_losing_one_moves_its_share_alone() {
    let directory = objects();
    let mut servers = Vec::new();
    for name in ["one", "two", "three"] {
        servers.push(AssetServer::start(directory.path(), name, "127.0.0.1:0").await);
    }
    let (first, second) = (gateway(&servers).await, gateway(&servers).await);
    let (client, other) = (first.client("http"), second.client("http"));

    let (before, fetched) = survey(&client).await;
    assert_eq!(fetched, (0..OBJECTS).collect::<Vec<_>>());
    for server in &servers {
        let held = before
            .values()
            .filter(|holder| holder.ends_with(server.name));
        let held = held.count();
        assert!(
            (8..=35).contains(&held),
            "{} of {OBJECTS} at {}",
            held,
            server.name
        );
    }
    // Another gateway knows where everything is, without having been told.
    let (same, fetched) = survey(&other).await;
    assert_eq!((same, fetched), (before.clone(), vec![]));

    let mut lost = servers.swap_remove(1);
    lost.process.kill().await.expect("it can be killed");
    let share: Vec<usize> = (0..OBJECTS)
        .filter(|n| before[n].ends_with(lost.name))
        .collect();
    let (without, fetched) = survey(&client).await;
    assert_eq!(
        fetched, share,
        "its share is fetched again, and nothing else"
    );
    for (n, holder) in &without {
        assert!(
            share.contains(n) || holder == &before[n],
            "{n} moved to {holder}"
        );
    }

    let _back = AssetServer::start(directory.path(), lost.name, &lost.address).await;
    eventually("its keys are back at their place", async || {
        survey(&client).await.0 == before
    })
    .await;
}
