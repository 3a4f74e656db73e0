//! Binds addresses and turns connections into requests: PROXY protocol, then TLS, then HTTP/1.1 or
//! HTTP/2.

mod connection;

mod mutual_tls;

mod proxy_protocol;

mod rewind;

mod round_trip;

mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

pub use self::connection::{HttpLimits, Metrics};
pub use self::mutual_tls::{ClientId, MutualTls};
pub use self::proxy_protocol::{ProxyProtocol, ProxyProtocolFile, ProxyProtocolMode};
pub use self::round_trip::{OnRoundTrip, round_trip};
pub use self::tls::{Certificates, Issued, TlsError, TlsFile};
use crate::drain::Drain;

/// What is known of a connection before its first request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end: of the socket, or as the PROXY header of a listed source says.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whom its verified certificate stands for, where the listener asks for one.
    pub client: Option<ClientId>,
}

/// One bound address and how its connections are treated.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    proxy_protocol: ProxyProtocol,
    limits: HttpLimits,
    metrics: Metrics,
    on_round_trip: Option<OnRoundTrip>,
}

/// Whose certificates a listener shows, and whether it asks for one.
#[derive(Debug)]
enum Tls {
    Server(Arc<Certificates>),
    Mutual(Arc<MutualTls>),
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Address asked for.
    pub address: SocketAddr,
    /// The system's reason.
    pub source: io::Error,
}

/// Binds `address` for TCP. `share` lets several processes listen on it, each getting a part of the
/// connections (`SO_REUSEPORT`).
pub fn bind(address: SocketAddr, share: bool) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(share)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|source| BindError { address, source })
}

impl Listener {
    /// A plain HTTP listener on a bound socket.
    pub fn new(socket: TcpListener, metrics: Metrics) -> Self {
        Self {
            socket,
            tls: None,
            proxy_protocol: ProxyProtocol::default(),
            limits: HttpLimits::default(),
            metrics,
            on_round_trip: None,
        }
    }

    /// The same listener with TLS.
    #[must_use]
    pub fn with_tls(self, certificates: Option<Arc<Certificates>>) -> Self {
        Self {
            tls: certificates.map(Tls::Server),
            ..self
        }
    }

    /// The same listener, for clients that show a certificate.
    #[must_use]
    pub fn with_mutual_tls(self, tls: Arc<MutualTls>) -> Self {
        Self {
            tls: Some(Tls::Mutual(tls)),
            ..self
        }
    }

    /// The same listener with the PROXY protocol.
    #[must_use]
    pub fn with_proxy_protocol(self, proxy_protocol: ProxyProtocol) -> Self {
        Self {
            proxy_protocol,
            ..self
        }
    }

    /// The same listener with other limits.
    #[must_use]
    pub fn with_limits(self, limits: HttpLimits) -> Self {
        Self { limits, ..self }
    }

    /// The same listener, which tells how far its clients are. A connection whose client is known by its
    /// PROXY header alone is not reported: the time would be the proxy's.
    #[must_use]
    pub fn with_round_trips(self, on_round_trip: OnRoundTrip) -> Self {
        Self {
            on_round_trip: Some(on_round_trip),
            ..self
        }
    }

    /// The bound address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts connections and answers their requests with `respond` until the drain begins. Requests
    /// in flight go on as tasks of the drain.
    pub async fn serve<F, R, B>(self, respond: F, drain: Drain)
    where
        F: Fn(Peer, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self {
            socket,
            tls,
            proxy_protocol,
            limits,
            metrics,
            on_round_trip,
        } = self;
        let shared = Arc::new(connection::Settings::new(
            tls,
            proxy_protocol,
            limits,
            metrics,
            on_round_trip,
        ));
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = drain.started() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    prepare(&stream);
                    let connection = connection::serve(
                        stream,
                        peer,
                        shared.clone(),
                        respond.clone(),
                        drain.clone(),
                    );
                    drain.spawn(connection);
                }
                // Out of descriptors or a connection that died in the queue: neither ends the listener.
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

fn prepare(stream: &TcpStream) {
    // Small responses must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
}
