//! One region of the demo: a gateway in a process of its own, which can be killed and started again.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep};

/// A gateway process and how to start it.
#[derive(Debug)]
pub struct RegionProcess {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) child: Option<Child>,
    /// Kept apart from the child, because waiting for a child closes its standard input.
    pub(super) stdin: Option<ChildStdin>,
}

/// How long a gateway may take until it is ready.
const START: Duration = Duration::from_secs(30);

impl RegionProcess {
    /// The region's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The gateway's address without steering by anybody else.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its private listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// The gateway's log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts the process; [`RegionProcess::ready`] waits for it.
    pub fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut child = Command::new(&self.binary)
            .args(["run", "--until-stdin-ends", "--config"])
            .arg(&self.config)
            // Held open by this process alone: however it ends, the region ends, too.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.stdin = child.stdin.take();
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the gateway says that it is ready.
    pub async fn ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            {
                return Err(io::Error::other(format!(
                    "{} ended with {status}: {}",
                    self.name,
                    last_line(&self.log())
                )));
            }
            if is_ready(self.admin).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "{} is not ready: {}",
                    self.name,
                    last_line(&self.log())
                )));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this region gives every region all of its users.
    pub async fn sees_all(&self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let regions = get(self.admin, "/api/v1/regions").await;
            let regions = regions.and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok());
            let is_up = |region: &Value| region["status"] == "up" && region["share"] == 1.0;
            if regions.is_some_and(|regions| regions.iter().all(is_up)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let why = format!("{} does not see all regions up", self.name);
                return Err(io::Error::other(why));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the process at once, as `kill -9` does.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Asks the process to drain and waits for its end. Returns whether it ended with 0.
    pub async fn terminate(&mut self) -> io::Result<bool> {
        let Some(mut child) = self.child.take() else {
            return Ok(true);
        };
        if let Some(pid) = child.id() {
            // The shell has its own; the program of that name is not everywhere.
            Command::new("sh")
                .args(["-c", "kill \"$0\"", &pid.to_string()])
                .status()
                .await?;
        }
        Ok(child.wait().await?.success())
    }

    /// Completes when the process has ended by itself.
    pub async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.wait().await),
            None => std::future::pending().await,
        }
    }
}

fn last_line(log: &str) -> &str {
    log.lines().last().unwrap_or("it logged nothing")
}

async fn is_ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").await.is_some()
}

/// The body of an answer of 200 from the private listener.
async fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(1 << 20).read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let asked = tokio::time::timeout(Duration::from_secs(1), ask).await;
    let answer = asked.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    (status == "200").then(|| body.to_owned())
}
