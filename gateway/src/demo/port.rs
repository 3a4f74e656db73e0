//! Ports of the demo. A port is held from the moment it is chosen until the demo ends, so that a region
//! that is killed finds its own again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A port on loopback that is bound but not listened on: connections to it are refused until a process
/// that may share it listens.
#[derive(Debug)]
pub(super) struct HeldPort {
    addr: SocketAddr,
    _socket: Socket,
}

impl HeldPort {
    /// Holds `port`; 0 takes a free one.
    pub(super) fn hold(port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        let addr = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        // Sharing is also how two demos would take the same port without noticing.
        if port != 0 && std::net::TcpStream::connect(addr).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self {
            addr,
            _socket: socket,
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}
