//! Latency at a constant arrival rate: requests leave when they are due, whether or not the server keeps up.
//!
//! `wrk` sends the next request when the last is answered, so a server that pauses is asked less and its
//! pause counts once. Here the time counts from when a request was due, also while it waits for a free
//! connection. One thread looks at its sockets in turn and never sleeps, so no timer adds to the figure.
//!
//! ```text
//! constant-rate ADDRESS PATH REQUESTS_PER_SECOND SECONDS CONNECTIONS
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// What comes in the beginning, before connections and caches are warm, is not counted.
const WARM_UP: Duration = Duration::from_millis(300);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, rate, seconds, connections] = args.as_slice() else {
        bail!("usage: constant-rate ADDRESS PATH RATE SECONDS CONNECTIONS");
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let interval = Duration::from_secs_f64(1.0 / rate.parse::<f64>()?);
    let length = WARM_UP + Duration::from_secs_f64(seconds.parse()?);
    let mut idle = Vec::new();
    for _ in 0..connections.parse()? {
        idle.push(Connection::open(address)?);
    }
    let mut busy: Vec<Connection> = Vec::new();
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 256 << 10];

    let start = Instant::now();
    let (end, mut due) = (start + length, start);
    while due < end || !busy.is_empty() {
        let now = Instant::now();
        ensure!(now < end + length, "the server does not keep up");
        while due <= now && due < end {
            let Some(mut connection) = idle.pop() else {
                break;
            };
            connection.due = due;
            connection.stream.write_all(request.as_bytes())?;
            busy.push(connection);
            due += interval;
        }
        let mut at = 0;
        while let Some(connection) = busy.get_mut(at) {
            if connection.receive(&mut buffer)? {
                let done = busy.swap_remove(at);
                if done.due >= start + WARM_UP {
                    latencies.push(done.due.elapsed());
                }
                idle.push(done);
            } else {
                at += 1;
            }
        }
    }
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len() - 1);
        latencies[index].as_nanos() as f64 / 1e3
    };
    ensure!(!latencies.is_empty(), "nothing was measured");
    println!(
        r#"{{"requests": {}, "p50_us": {:.1}, "p99_us": {:.1}, "p999_us": {:.1}}}"#,
        latencies.len(),
        at(0.5),
        at(0.99),
        at(0.999)
    );
    Ok(())
}

struct Connection {
    stream: TcpStream,
    due: Instant,
    head: Vec<u8>,
    /// Bytes of the body that are missing, once its head is complete.
    left: Option<usize>,
}

impl Connection {
    fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            due: Instant::now(),
            head: Vec::new(),
            left: None,
        })
    }

    /// Takes what has come; whether that completes the answer.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the server hung up"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let left = match self.left {
            Some(left) => left.saturating_sub(count),
            None => {
                self.head.extend_from_slice(&buffer[..count]);
                let ends = self.head.windows(4).position(|end| end == b"\r\n\r\n");
                let Some(end) = ends.map(|end| end + 4) else {
                    return Ok(false);
                };
                let came = self.head.len() - end;
                let head = std::str::from_utf8(&self.head[..end])?.to_ascii_lowercase();
                ensure!(head.starts_with("http/1.1 200"), "{head}");
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
                    .context("no content-length")?;
                self.head.clear();
                length.saturating_sub(came)
            }
        };
        self.left = (left > 0).then_some(left);
        Ok(left == 0)
    }
}
