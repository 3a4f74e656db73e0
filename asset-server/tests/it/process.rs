//! The real process: killed in the middle of a fill, asked by two hundred at once, given nonsense.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{Store, noise};

/// An `asset-server` of its own, on free ports.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) async fn start(directory: &Path, store: &Store, memory: &str) -> Self {
        let server = Command::new(env!("CARGO_BIN_EXE_asset-server"));
        Self::start_as(server, directory, store, memory).await
    }

    /// `server` is a command that runs it.
    async fn start_as(mut server: Command, directory: &Path, store: &Store, memory: &str) -> Self {
        let credentials = directory.join("credentials");
        std::fs::write(
            &credentials,
            "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n",
        )
        .expect("a file");
        let endpoint = store.origin.address;
        let config = format!(
            "listeners: [{{address: \"127.0.0.1:0\"}}]\n\
             admin: {{address: \"127.0.0.1:0\"}}\n\
             assets:\n  \
               mounts:\n    - path: /assets/\n      origin:\n        s3: {{endpoint: \"http://{endpoint}\", bucket: assets, credentials: {{file: credentials}}}}\n  \
               memory: {memory}\n  \
               disk: {{path: cache, size: 1GiB}}\n"
        );
        std::fs::write(directory.join("config.yaml"), config).expect("a file");
        let mut child = server
            .args(["run", "--config"])
            .arg(directory.join("config.yaml"))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = loop {
            let line = lines
                .next_line()
                .await
                .expect("a line")
                .expect("not yet ended");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if line["message"] == "serving" {
                break line["address"]
                    .as_str()
                    .expect("text")
                    .parse()
                    .expect("an address");
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    async fn get(&self, path: &str) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP");
        tokio::spawn(connection);
        let request = http::Request::builder()
            .uri(path)
            .header("host", "test")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        sender.send_request(request).await.expect("a response")
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Most memory that the process has had, in MiB.
    fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("alive")))
                .expect("status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .expect("a peak");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse::<u64>()
            .expect("a number")
            / 1024
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_fill_it_serves_no_wrong_byte_afterwards() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (whole, partial) = (noise(20, 400_000), noise(21, 32 << 20));
    store.put("whole", &whole);
    store.put("partial", &partial);
    let memory = "{size: 16MiB, max_object: 64KiB}";

    let process = Process::start(directory.path(), &store, memory).await;
    let body = process
        .get("/assets/whole")
        .await
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert!(body == whole);
    let mut response = process.get("/assets/partial").await;
    let mut received = 0;
    while received < 2 << 20 {
        let frame = response
            .body_mut()
            .frame()
            .await
            .expect("more")
            .expect("no error");
        received += frame.data_ref().map_or(0, Bytes::len);
    }
    process.kill().await;

    for round in 0..2 {
        let process = Process::start(directory.path(), &store, memory).await;
        for (path, object) in [("/assets/whole", &whole), ("/assets/partial", &partial)] {
            let response = process.get(path).await;
            assert_eq!(response.status(), StatusCode::OK);
            let status = response.headers()["cache-status"]
                .to_str()
                .expect("text")
                .to_owned();
            let body = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            assert!(body == object[..], "{path} in round {round}");
            if path == "/assets/whole" {
                assert!(status.contains("hit"), "{status}");
            }
        }
        process.kill().await;
    }
    assert_eq!(store.gets("whole"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_of_64_mib_fetch_each_slice_once_and_stay_under_300_mib() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(22, 64 << 20);
    let sum = crc32c::crc32c(&object);
    store.put("cold", &object);
    drop(object);
    let process =
        std::sync::Arc::new(Process::start(directory.path(), &store, "{size: 512MiB}").await);
    let clients = (0..200).map(|_| {
        let process = process.clone();
        tokio::spawn(async move {
            let mut body = process.get("/assets/cold").await.into_body();
            let (mut sum, mut length) = (0, 0);
            while let Some(frame) = body.frame().await {
                let data = frame.expect("no error").into_data().expect("data");
                sum = crc32c::crc32c_append(sum, &data);
                length += data.len();
            }
            (sum, length)
        })
    });
    for client in futures_util::future::join_all(clients).await {
        assert_eq!(client.expect("an end"), (sum, 64 << 20));
    }
    assert_eq!(store.gets("cold"), 16, "slices of 4 MiB");
    let peak = process.peak_memory();
    println!("peak memory: {peak} MiB");
    assert!(peak < 300, "{peak} MiB");
}

#[tokio::test]
async fn a_bad_configuration_ends_with_2_and_one_message() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("config.yaml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let in_use = format!(
        "listeners: [{{address: \"{}\"}}]\nassets: {{mounts: [{{path: /a/, origin: {{directory: {{path: x}}}}}}]}}",
        taken.local_addr().expect("an address")
    );
    for (verb, text, message) in [
        ("check", "assets: {mounts: []}\n", "assets.mounts"),
        ("run", "assets: {mounts: [], colour: red}\n", "colour"),
        ("run", &in_use, "cannot listen on"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_asset-server"))
            .arg(verb)
            .arg("--config")
            .arg(&file)
            .output()
            .await
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(2), 1),
            "{said}"
        );
        assert!(said.contains(message), "{said}");
    }
}

#[tokio::test]
async fn sigterm_lets_a_response_in_flight_finish() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(23, 16 << 20);
    store.put("x", &object);
    let mut process = Process::start(directory.path(), &store, "{size: 64MiB}").await;
    let response = process.get("/assets/x").await;
    let pid = process.child.id().expect("alive").to_string();
    assert!(
        Command::new("sh")
            .args(["-c", "kill \"$@\"", "kill", "-TERM", &pid])
            .status()
            .await
            .expect("kill")
            .success()
    );
    assert!(
        response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes()
            == object
    );
    assert_eq!(process.child.wait().await.expect("ended").code(), Some(0));
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_an_object_costs_no_client_a_byte() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (large, small) = (noise(30, 6_000_000), noise(31, 300_000));
    store.put("large", &large);
    store.put("small", &small);
    // A limit on the size of files is the full disk that needs no root: writes past 2 MiB fail.
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$@\"";
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_asset-server")]);
    let memory = "{size: 64MiB, max_object: 100KiB}";
    let process = Process::start_as(limited, directory.path(), &store, memory).await;
    for _ in 0..2 {
        for (path, object) in [("/assets/large", &large), ("/assets/small", &small)] {
            let response = process.get(path).await;
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.expect("a whole body");
            assert!(body.to_bytes() == object[..], "{path}");
        }
    }
    assert_eq!(store.gets("small"), 1, "what fits is kept");
    process.kill().await;
}
