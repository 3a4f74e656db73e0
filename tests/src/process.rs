//! One gateway process with a configuration of the test's own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Client, eventually, program};

/// A running gateway. Ends when it is dropped.
pub struct Gateway {
    directory: TempDir,
    child: Child,
    addresses: HashMap<String, SocketAddr>,
}

impl Gateway {
    /// A configuration with one region, one plain listener `http`, and the assets of `DIRECTORY/assets`.
    pub fn configuration() -> Value {
        json!({
            "region": "ams3",
            "regions": [{"name": "ams3"}],
            "listeners": [{"name": "http", "address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "trusted_proxies": ["127.0.0.0/8"],
            "asset_server": {"embedded": {"mounts": [
                {"path": "/assets/", "origin": {"directory": {"path": "assets"}}}
            ]}},
            "routes": [{"name": "assets", "match": {"path": {"prefix": "/assets/"}}, "action": "assets"}],
        })
    }

    /// A directory with an asset and whatever `prepare` adds, and `configuration` in `gateway.yaml`.
    pub fn directory(configuration: &Value, prepare: impl FnOnce(&Path)) -> TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let write = |name: &str, content: String| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the directory"))
                .expect("directories can be made");
            std::fs::write(path, content).expect("files can be written");
        };
        write("assets/hello.txt", "hello, world\n".repeat(100));
        write("gateway.yaml", format!("{configuration:#}"));
        prepare(directory.path());
        directory
    }

    /// Starts a gateway and waits until it serves.
    pub async fn start(configuration: &Value, prepare: impl FnOnce(&Path)) -> Self {
        let directory = Self::directory(configuration, prepare);
        let log =
            std::fs::File::create(directory.path().join("log")).expect("files can be written");
        let child = Command::new(program("gateway"))
            .args(["run", "--config"])
            .arg(directory.path().join("gateway.yaml"))
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let mut gateway = Self {
            directory,
            child,
            addresses: HashMap::new(),
        };
        eventually("the gateway says where it serves", async || {
            let log = gateway.log();
            if let Ok(Some(status)) = gateway.child.try_wait() {
                panic!("the gateway ended with {status}: {log}");
            }
            gateway.addresses = addresses(&log);
            gateway.addresses.contains_key("admin")
        })
        .await;
        gateway
    }

    /// A program of the workspace with arguments in `directory`; its exit code and standard error.
    pub async fn command(
        directory: &Path,
        name: &str,
        arguments: &[&str],
    ) -> (ExitStatus, String, String) {
        let output = Command::new(program(name))
            .args(arguments)
            .current_dir(directory)
            .output()
            .await;
        let output = output.expect("the program can be started");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status, text(output.stdout), text(output.stderr))
    }

    /// The address of a listener, or of `admin`.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self
            .addresses
            .get(listener)
            .unwrap_or_else(|| panic!("no listener is named {listener}"))
    }

    /// A client of a listener.
    pub fn client(&self, listener: &str) -> Client {
        Client::new(&format!("http://{}", self.address(listener)), "192.0.2.1")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// One of its metrics, or 0 where there is none with these labels.
    pub async fn metric(&self, name_and_labels: &str) -> f64 {
        let text = self.client("admin").get("/metrics").await.body;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find_map(|line| {
            line.strip_prefix(name_and_labels)?
                .strip_prefix(' ')?
                .parse()
                .ok()
        });
        line.unwrap_or(0.0)
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill \"$@\"", "kill", "-s", name, &pid])
            .status()
            .await;
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {name} {pid}"
        );
    }

    /// Kills it at once, as a machine that loses its power does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("it can be waited for")
    }
}

fn addresses(log: &str) -> HashMap<String, SocketAddr> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let serving = lines.filter(|line| line["message"] == "serving");
    serving
        .filter_map(|line| {
            Some((
                line["listener"].as_str()?.to_owned(),
                line["address"].as_str()?.parse().ok()?,
            ))
        })
        .collect()
}
