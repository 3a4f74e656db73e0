//! Assets from an asset server in a process of its own.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::{Gateway, eventually, program};
use tokio::process::Command;

#[tokio::test]
async fn a_gateway_passes_assets_on_from_an_asset_server_of_its_own() {
    let directory = Gateway::directory(&json!({}), |_| {});
    let configuration = json!({
        "listeners": [{"address": "127.0.0.1:0"}],
        "admin": {"address": "127.0.0.1:0"},
        "assets": {"region": "ams3", "mounts": [{"path": "/assets/", "origin": {"directory": {"path": "assets"}}}]},
    });
    let file = directory.path().join("asset-server.yaml");
    std::fs::write(&file, configuration.to_string()).expect("it can be written");
    let log = directory.path().join("asset-server.log");
    let _server = Command::new(program("asset-server"))
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

    let mut configuration = Gateway::configuration();
    let endpoint = format!("http://{}", address.unwrap_or_default());
    configuration["asset_server"] = json!({"remote": {"endpoints": [endpoint], "http2": true}});
    let gateway = Gateway::start(&configuration, |_| {}).await;
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
