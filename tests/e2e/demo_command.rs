//! `gateway demo` itself.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tests::{Client, eventually, program};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn it_prints_one_line_of_json_and_leaves_nothing_behind() {
    let mut child = Command::new(program("gateway"))
        .args(["demo", "--port", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be started");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).await.expect("it prints a line");
    let ready: Value = serde_json::from_str(&line).expect("the line is JSON");

    let names: Vec<&str> = ready["regions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["name"].as_str())
        .collect();
    assert_eq!(names, ["nyc3", "ams3", "sgp1"]);
    assert!(
        ready["samples"]
            .as_array()
            .is_some_and(|samples| samples.len() > 200),
        "{ready}"
    );
    let global = Client::new(
        ready["global"]["http"].as_str().unwrap_or_default(),
        "91.64.0.1",
    );
    let sample = ready["samples"][0].as_str().unwrap_or_default();
    assert_eq!(global.get(sample).await.served_by(), "ams3");
    let dashboard = Client::new(ready["dashboard"].as_str().unwrap_or_default(), "127.0.0.1");
    assert!(dashboard.get("").await.body.starts_with(b"<!doctype html>"));

    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("sh")
        .args(["-c", "kill \"$@\"", "kill", "-s", "INT", &pid])
        .status()
        .await
        .expect("kill runs");
    assert!(sent.success());
    let status = child.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.expect("it can be read");
    assert_eq!(rest, "");

    let directory = Path::new(ready["ca"].as_str().unwrap_or_default())
        .parent()
        .expect("it has one")
        .to_owned();
    assert!(!directory.exists(), "{} is left", directory.display());
    for region in ready["regions"].as_array().into_iter().flatten() {
        let process = format!("/proc/{}", region["pid"]);
        eventually("the region's process is gone", async || {
            !Path::new(&process).exists()
        })
        .await;
    }
}
