//! A real ACME authority, Debian's `pebble`, with a resolver and a way to the listeners that it validates.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::eventually;

/// Answers TXT questions; every name has the address 127.0.0.1.
pub type Txt = Arc<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// A running authority. Ends when it is dropped.
pub struct Pebble {
    directory: TempDir,
    child: Child,
    port: u16,
    management: u16,
    validated: Arc<Mutex<Option<SocketAddr>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Pebble {
    /// An authority whose certificates live for `validity`, and that asks `txt` for DNS-01 answers.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start(validity: Duration, txt: Txt) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate can be made");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("ca.pem"), made.cert.pem()).expect("files can be written");
        std::fs::write(path("ca.key"), made.signing_key.serialize_pem())
            .expect("files can be written");

        let validated = Arc::new(Mutex::new(None));
        let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let dns = socket.local_addr().expect("it is bound");
        let tls_port = relay.local_addr().expect("it is bound").port();
        let tasks = vec![
            tokio::spawn(carry(relay, validated.clone())),
            tokio::spawn(resolve(socket, txt)),
        ];
        let (port, management) = (free_port().await, free_port().await);
        let configuration = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("ca.pem"),
            "privateKey": path("ca.key"),
            "httpPort": 1,
            "tlsPort": tls_port,
            "certificateValidityPeriod": validity.as_secs(),
        }});
        std::fs::write(path("pebble.json"), configuration.to_string())
            .expect("files can be written");
        let mut pebble = Self {
            child: spawn(&directory, dns),
            directory,
            port,
            management,
            validated,
            tasks,
        };
        pebble.answers().await;
        pebble
    }

    async fn answers(&mut self) {
        eventually("pebble answers", async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("pebble ended with {status}: {}", self.log());
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                .await
                .is_ok()
        })
        .await;
    }

    /// Its directory.
    pub fn directory_url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// The file with the authority that its own TLS certificate is from.
    pub fn authority(&self) -> std::path::PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The root of the certificates that it issues.
    pub async fn root(&self) -> reqwest::Certificate {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let own = std::fs::read(self.authority()).expect("it is there");
        let own = reqwest::Certificate::from_pem(&own).expect("it is PEM");
        let client = reqwest::Client::builder()
            .tls_certs_only([own])
            .no_proxy()
            .build();
        let client = client.expect("a client can be made");
        let url = format!("https://127.0.0.1:{}/roots/0", self.management);
        let answer = client.get(url).send().await.expect("it answers");
        let pem = answer.bytes().await.expect("it answers whole");
        reqwest::Certificate::from_pem(&pem).expect("it is PEM")
    }

    /// Where TLS-ALPN-01 validations arrive from now on.
    pub fn validates_at(&self, address: SocketAddr) {
        *self
            .validated
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Orders made so far.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }

    /// Kills it. It forgets everything.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn spawn(directory: &TempDir, dns: SocketAddr) -> Child {
    let log = std::fs::File::create(directory.path().join("log")).expect("files can be written");
    let errors = log.try_clone().expect("a file can be shared");
    Command::new("pebble")
        .arg("-config")
        .arg(directory.path().join("pebble.json"))
        .args(["-dnsserver", &dns.to_string()])
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env("PEBBLE_AUTHZREUSE", "0")
        .stdout(log)
        .stderr(errors)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("pebble is installed; `make test` does that")
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Carries connections to whichever listener is to be validated; until there is one they wait.
async fn carry(relay: TcpListener, to: Arc<Mutex<Option<SocketAddr>>>) {
    while let Ok((mut client, _)) = relay.accept().await {
        let to = to.clone();
        tokio::spawn(async move {
            let address = loop {
                let address = *to.lock().unwrap_or_else(PoisonError::into_inner);
                match address {
                    Some(address) => break address,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            if let Ok(mut server) = TcpStream::connect(address).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// As much of a DNS server as a validation needs: A and TXT, one question a message.
async fn resolve(socket: UdpSocket, txt: Txt) {
    let mut buffer = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..length], &txt) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

fn answer(query: &[u8], txt: &Txt) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = String::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name += std::str::from_utf8(query.get(at..at + length)?).ok()?;
        name.push('.');
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let data: Vec<Vec<u8>> = match query.get(at..at + 2)? {
        [0, 1] => vec![vec![127, 0, 0, 1]],
        [0, 16] => {
            let string = |value: String| {
                [&[u8::try_from(value.len()).unwrap_or(0)], value.as_bytes()].concat()
            };
            txt(&name).into_iter().map(string).collect()
        }
        _ => Vec::new(),
    };
    let count = u8::try_from(data.len()).ok()?;
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x84, 0, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    for data in data {
        answer.extend([0xc0, 12]);
        answer.extend(query.get(at..at + 4)?);
        answer.extend([0, 0, 0, 0, 0, u8::try_from(data.len()).ok()?]);
        answer.extend(data);
    }
    Some(answer)
}
