//! A reader that says when its first byte came: for cold reads, and for many readers of one object.
//!
//! `readers` requests leave `apart` microseconds after each other, each on a connection of its own that
//! was opened before. Every byte is compared with the object's ([`Pattern`]). Prints a JSON line for each
//! reader: when its request left, when its first byte of body came and when its last (nanoseconds since
//! 1970), and how many bytes there were.
//!
//! ```text
//! fetch ADDRESS PATH [READERS [APART_US [BYTES]]]     # BYTES: read no more of each
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use benches::object::Pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, rest @ ..] = args.as_slice() else {
        bail!("usage: fetch ADDRESS PATH [READERS [APART_US [BYTES]]]");
    };
    let number = |at: usize, default: u64| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (readers, apart, most) = (number(0, 1)?, number(1, 0)?, number(2, u64::MAX)?);
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let pattern = Arc::new(Pattern::new());

    let mut connections = Vec::new();
    for _ in 0..readers {
        connections.push(TcpStream::connect(address).await?);
    }
    let mut reading = JoinSet::new();
    for connection in connections {
        let (request, pattern) = (request.clone(), pattern.clone());
        reading.spawn(async move { read(connection, &request, &pattern, most).await });
        if apart > 0 {
            tokio::time::sleep(Duration::from_micros(apart)).await;
        }
    }
    while let Some(read) = reading.join_next().await {
        println!("{}", read??);
    }
    Ok(())
}

async fn read(
    mut connection: TcpStream,
    request: &str,
    pattern: &Pattern,
    most: u64,
) -> Result<String> {
    let sent = nanoseconds();
    connection.write_all(request.as_bytes()).await?;
    // Who wants only a few bytes reads no more: the next reader waits for this one.
    let mut buffer = vec![0; most.clamp(4 << 10, 256 << 10) as usize];
    let mut have = 0;
    let head = loop {
        let count = connection.read(&mut buffer[have..]).await?;
        ensure!(count > 0, "the server hung up before its answer");
        have += count;
        if let Some(end) = buffer[..have].windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
    ensure!(text.starts_with("http/1.1 200"), "{text}");
    let length: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
        .context("no content-length")?;
    let wanted = length.min(most);
    buffer.copy_within(head..have, 0);
    let (mut count, mut bytes, mut first) = (have - head, 0, None);
    loop {
        if count > 0 {
            first.get_or_insert_with(nanoseconds);
            ensure!(
                pattern.matches(bytes, &buffer[..count]),
                "wrong bytes near {bytes}"
            );
            bytes += count as u64;
        }
        if bytes >= wanted {
            break;
        }
        count = connection.read(&mut buffer).await?;
        ensure!(count > 0, "the body ends after {bytes} of {length} bytes");
    }
    let (first, last) = (first.unwrap_or(sent), nanoseconds());
    Ok(format!(
        r#"{{"sent": {sent}, "first": {first}, "last": {last}, "bytes": {bytes}}}"#
    ))
}

fn nanoseconds() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}
