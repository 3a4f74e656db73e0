//! One real `asset-server` between the clients and the origin, with a listener for each protocol.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::RootCertStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Client, Protocol};

/// Lets the test purge.
const TOKEN: &str = "conformance";

/// The name on its certificate.
pub(crate) const NAME: &str = "localhost";

/// A running asset server. Ends when it is dropped.
pub(crate) struct Proxy {
    directory: TempDir,
    roots: RootCertStore,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
}

impl Proxy {
    /// `size` is that of each tier.
    pub(crate) async fn start(origin: SocketAddr, size: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("files can be written");
        };
        let certificate =
            rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        write("certificate.pem", &certificate.cert.pem());
        write("key.pem", &certificate.signing_key.serialize_pem());
        write("token", TOKEN);
        write("config.yaml", &format!("{:#}", configuration(origin, size)));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone()).expect("a root");
        Self {
            process: Mutex::new(Process::start(directory.path()).await),
            directory,
            roots,
        }
    }

    /// Kills the process, once it has written what it will, and starts it again.
    pub(crate) async fn restart(&self) {
        let metrics = format!("http://{}/metrics", self.process().admin);
        let metrics = || async { reqwest::get(&metrics).await?.text().await };
        while !metrics()
            .await
            .is_ok_and(|text| text.contains("asset_server_fills_in_flight 0"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = self.process().child.start_kill();
        let lock = self.directory.path().join("cache/lock");
        let lock = std::fs::File::open(lock).expect("the cache has one");
        // The kernel lets go of it when the process is gone.
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(lock);
        let next = Process::start(self.directory.path()).await;
        *self.process() = next;
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that speaks one protocol.
    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        let address = match protocol {
            Protocol::Http1 => self.process().http,
            Protocol::TlsHttp2 => self.process().https,
        };
        Client::new(protocol, address, self.roots.clone())
    }

    /// Purges as `POST /api/v1/purge` says.
    pub(crate) async fn purge(&self, what: &Value) -> Result<(), String> {
        let request = reqwest::Client::builder().no_proxy().build();
        let request = request
            .expect("a client")
            .post(format!("http://{}/api/v1/purge", self.process().admin));
        let answer = request.bearer_auth(TOKEN).json(what).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the purge failed: {error}")),
        }
    }
}

impl Process {
    async fn start(directory: &Path) -> Self {
        let mut child = Command::new(tests::program("asset-server"))
            .args(["run", "--config", "config.yaml"])
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let (mut clients, mut admin) = (Vec::new(), None);
        while clients.len() < 2 || admin.is_none() {
            let line = lines.next_line().await.expect("text");
            let line = line.unwrap_or_else(|| panic!("the asset server ended"));
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                panic!("the asset server says: {line}");
            };
            if line["message"] == "serving" {
                let address = line["address"].as_str().expect("text");
                let address: SocketAddr = address.parse().expect("an address");
                match line["listener"] == "admin" {
                    true => admin = Some(address),
                    false => clients.push(address),
                }
            }
        }
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if std::env::var_os("CONFORMANCE_LOG").is_some() {
                    println!("{line}");
                }
            }
        });
        Self {
            child,
            http: clients[0],
            https: clients[1],
            admin: admin.expect("it was waited for"),
        }
    }
}

/// A transparent cache: nothing is fresh, and nothing stale is used, unless the origin says so.
fn configuration(origin: SocketAddr, size: &str) -> Value {
    let tls = json!([{"certificate": "certificate.pem", "key": "key.pem"}]);
    let mount = |path: &str, key: Value| {
        json!({
            "path": path,
            "origin": {"http": {"url": format!("http://{origin}{path}")}},
            "default_ttl": "0s",
            "negative_ttl": "0s",
            "stale_if_error": "0s",
            "methods": "forward",
            "key": key,
        })
    };
    // What else may tell responses apart is a family of its own.
    let by_host = json!({"host": true, "headers": ["x-tenant"], "query": ["width"]});
    let mounts = [
        mount("/", json!({})),
        mount("/http1/key/", by_host.clone()),
        mount("/tls-http2/key/", by_host),
    ];
    json!({
        "listeners": [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": tls}],
        "admin": {"address": "127.0.0.1:0", "token": {"file": "token"}},
        "assets": {
            "mounts": mounts,
            "memory": {"size": size, "max_object": "256KiB"},
            "disk": {"path": "cache", "size": size},
            // Origins that break off and say 503 are what the cases are about.
            "origin": {"requests_per_second": 0, "breaker_failures": 0, "attempts": 1},
        },
    })
}
