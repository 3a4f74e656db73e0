//! Distance between regions, simulated: a TCP relay with a delay line in each direction.
//!
//! Everything on one machine is near. A [`DistanceRelay`] in front of a server makes it far: bytes
//! arrive half a round trip after they were sent, in order, and at the full rate of the machine until
//! the delay line is full. A new connection pays the round trip of its handshake as well. What a real
//! network would tell the other end late, this tells late too: the end of a stream, a reset, and that
//! nobody listens.
//!
//! It loses and reorders nothing: it is for feeling distance, not for testing TCP.

mod delay_line;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use self::delay_line::DelayLine;
use super::local_server::ACCEPT_PAUSE;

/// Round trips between the demo's regions in milliseconds, measured by ping in July 2020 between servers
/// in these cities and published by WonderProxy.
const ROUND_TRIPS_MS: [(&str, &str, u64); 3] = [
    ("nyc3", "ams3", 77),
    ("nyc3", "sgp1", 235),
    ("ams3", "sgp1", 163),
];

/// The round trip between two of the demo's regions, in either order; none inside one region.
pub fn round_trip_between(one: &str, other: &str) -> Option<Duration> {
    if one == other {
        return Some(Duration::ZERO);
    }
    ROUND_TRIPS_MS
        .iter()
        .find(|&&(a, b, _)| (a, b) == (one, other) || (b, a) == (one, other))
        .map(|&(_, _, milliseconds)| Duration::from_millis(milliseconds))
}

/// A port of 127.0.0.1 from which a server is a round trip away; it ends when this value is dropped.
#[derive(Debug)]
pub struct DistanceRelay {
    addr: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl DistanceRelay {
    /// Puts `round_trip` between whoever connects to [`addr`](Self::addr) and `target`.
    pub async fn start(target: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, target, round_trip));
        Ok(Self {
            addr,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// Where to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, round_trip: Duration) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _peer)) => drop(connections.spawn(relay(near, target, round_trip))),
                // Out of file descriptors, or the peer left already. Others may be served when some are free.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Carries one connection from its handshake to its end.
async fn relay(mut near: TcpStream, target: SocketAddr, round_trip: Duration) {
    let one_way = round_trip / 2;
    let established = Instant::now() + round_trip;

    sleep_until(established - one_way).await; // the SYN is on its way
    let far = TcpStream::connect(target).await;
    sleep_until(established).await; // and so is the answer to it
    let Ok(mut far) = far else {
        return reset(&near);
    };
    // They fail only on a socket that is gone; relaying will find that out.
    let _nodelay = (near.set_nodelay(true), far.set_nodelay(true));

    let line = DelayLine::new(one_way);
    let broken = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        tokio::try_join!(
            line.carry(near_read, far_write),
            line.carry(far_read, near_write)
        )
        .is_err()
    };
    if broken {
        reset(&near);
        reset(&far);
    }
}

/// Lets the close that follows be a reset, so that the peer is told at once and takes nothing for a clean end.
fn reset(stream: &TcpStream) {
    // It fails only on a socket that is gone, and that is what is wanted.
    let _linger = stream.set_zero_linger();
}

#[cfg(test)]
mod tests;
