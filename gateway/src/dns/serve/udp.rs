//! Datagrams: one thread and one socket a core, so that nothing is shared but what is read. On Linux many
//! datagrams are taken and sent with one system call each.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::Shared;
use crate::dns::answer::{PAYLOAD, Transport};
use crate::gateway::Edge;

/// Longest query that is read; real ones have below 512 bytes.
const REQUEST: usize = 2048;

/// Time after which a socket that failed is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers what comes, until it is over.
pub(super) fn serve(socket: &UdpSocket, edge: &Edge, shared: &Shared) {
    while !shared.is_over() {
        match serve_some(socket, edge, shared) {
            Ok(()) => {}
            // Time to look whether it is over; or an ICMP message about a datagram that was sent.
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a DNS socket failed; it is tried again");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | TimedOut | Interrupted | ConnectionRefused
    )
}

/// Answers datagram by datagram until there is none for a while.
#[cfg(not(target_os = "linux"))]
fn serve_some(socket: &UdpSocket, edge: &Edge, shared: &Shared) -> io::Result<()> {
    let (mut request, mut response) = ([0; REQUEST], [0; PAYLOAD as usize]);
    loop {
        let (length, source) = socket.recv_from(&mut request)?;
        let moment = shared.at(edge, std::time::Instant::now());
        let out = &mut response[..];
        if let Some(length) = moment.respond(&request[..length], source.ip(), Transport::Udp, out) {
            // A datagram that cannot be sent is lost, as any other may be.
            let _ = socket.send_to(&response[..length], source);
        }
    }
}

/// Answers batch by batch until there is none for a while.
#[cfg(target_os = "linux")]
fn serve_some(socket: &UdpSocket, edge: &Edge, shared: &Shared) -> io::Result<()> {
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsRawFd as _;
    use std::time::Instant;

    use arrayvec::ArrayVec;
    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, sendto};

    /// Datagrams of one system call.
    const BATCH: usize = 32;

    let fd = socket.as_raw_fd();
    let mut requests = Box::new([[0; REQUEST]; BATCH]);
    let mut responses = Box::new([[0; PAYLOAD as usize]; BATCH]);
    let mut received = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut sending = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    loop {
        let mut lengths: ArrayVec<usize, BATCH> = ArrayVec::new();
        let mut to: ArrayVec<Option<SockaddrStorage>, BATCH> = ArrayVec::new();
        let mut slices = requests
            .each_mut()
            .map(|request| [IoSliceMut::new(request)]);
        // Waits for the first, and takes what is there.
        let wait = MsgFlags::MSG_WAITFORONE;
        let messages = recvmmsg(fd, &mut received, slices.iter_mut(), wait, None)?;
        let moment = shared.at(edge, Instant::now());
        for message in messages {
            let (Some(address), Some(request)) = (message.address, message.iovs().next()) else {
                continue;
            };
            // Nobody can be answered at port 0.
            let Some((source, 1..)) = ip_and_port(&address) else {
                continue;
            };
            let Some(out) = responses.get_mut(lengths.len()) else {
                break;
            };
            if let Some(length) = moment.respond(request, source, Transport::Udp, out) {
                lengths.push(length);
                to.push(Some(address));
            }
        }
        if lengths.is_empty() {
            continue;
        }
        let filled = responses.iter().zip(&lengths);
        let filled: ArrayVec<[IoSlice<'_>; 1], BATCH> = filled
            .map(|(response, length)| [IoSlice::new(&response[..*length])])
            .collect();
        let none = MsgFlags::empty();
        if sendmmsg(fd, &mut sending, filled.iter(), to.as_slice(), [], none).is_ok() {
            continue;
        }
        // The first cannot be sent, which must not cost the others their answers.
        for ([response], address) in filled.iter().zip(&to) {
            if let Some(address) = address {
                let _ = sendto(fd, response, address, none);
            }
        }
    }

    fn ip_and_port(address: &SockaddrStorage) -> Option<(std::net::IpAddr, u16)> {
        let v4 = address
            .as_sockaddr_in()
            .map(|v4| (v4.ip().into(), v4.port()));
        v4.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|v6| (v6.ip().into(), v6.port()))
        })
    }
}
