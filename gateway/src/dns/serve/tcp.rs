//! Connections (RFC 7766): for answers that are too long for a datagram, and for clients who show that way that
//! their address is theirs. Queries may follow each other without waiting; answers come in their order.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Shared;
use crate::dns::answer::Transport;
use crate::gateway::Edge;

/// Longest response; a zone with more at one name is not answered for.
const RESPONSE: usize = 16 << 10;

/// Longest query that is read; a connection with a longer one is closed.
const REQUEST: usize = 4 << 10;

/// Time after which accepting is tried again when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections, until it is over.
pub(super) async fn serve(listener: TcpListener, edge: Arc<Edge>, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.tcp_connections));
    while !shared.is_over() {
        let (stream, peer) = match timeout(Duration::from_secs(1), listener.accept()).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(_)) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(_) => continue,
        };
        // Who comes when all places are taken is closed at once, and asks elsewhere.
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let (edge, shared) = (edge.clone(), shared.clone());
        tokio::spawn(async move {
            shared.metrics.connections.inc();
            let _ = connection(stream, peer.ip(), &edge, &shared).await;
            shared.metrics.connections.dec();
            drop(place);
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    peer: IpAddr,
    edge: &Edge,
    shared: &Shared,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Box::new([0; 2 + REQUEST]);
    let mut response = Box::new([0; 2 + RESPONSE]);
    let mut have = 0;
    loop {
        while let Some(end) = message_end(&request[..have]) {
            if end > request.len() {
                return Ok(());
            }
            if end > have {
                break;
            }
            let moment = shared.at(edge, Instant::now());
            let out = &mut response[2..];
            let Some(length) = moment.respond(&request[2..end], peer, Transport::Tcp, out) else {
                return Ok(()); // Not DNS.
            };
            response[..2].copy_from_slice(&(length as u16).to_be_bytes());
            timeout(shared.tcp_idle, stream.write_all(&response[..2 + length])).await??;
            request.copy_within(end..have, 0);
            have -= end;
        }
        match timeout(shared.tcp_idle, stream.read(&mut request[have..])).await?? {
            0 => return Ok(()),
            read => have += read,
        }
    }
}

/// Where the first message ends, by the length before it.
fn message_end(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .first_chunk()
        .map(|length| u16::from_be_bytes(*length));
    length.map(|length| 2 + usize::from(length))
}
