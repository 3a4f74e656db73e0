//! One connection from accept to close.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::mutual_tls::MutualTls;
use super::proxy_protocol::{ProxyProtocol, Refused};
use super::rewind::Rewind;
use super::round_trip::{Measured, OnRoundTrip};
use super::{Peer, Tls};
use crate::drain::Drain;

/// What one client connection may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Request line and headers together, in bytes; more gets 431.
    pub header_bytes: usize,
    /// Until a request's headers are complete; also how long an idle HTTP/1.1 connection is kept.
    pub header_timeout: Duration,
    /// For the PROXY header and the TLS handshake together.
    pub handshake_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub concurrent_streams: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            concurrent_streams: 256,
        }
    }
}

/// What a listener counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: IntCounter,
    open: IntGauge,
    proxy_header_refused: IntCounter,
    tls_failed: IntCounter,
}

impl Metrics {
    /// Registers the families under `prefix`; call once a process, then the returned function for each
    /// listener by name.
    pub fn register(
        registry: &Registry,
        prefix: &str,
    ) -> prometheus::Result<impl Fn(&str) -> Self + use<>> {
        let name = |rest: &str| format!("{prefix}_{rest}");
        let accepted = IntCounterVec::new(
            Opts::new(name("connections_total"), "Connections accepted."),
            &["listener"],
        )?;
        let open = IntGaugeVec::new(
            Opts::new(name("connections_open"), "Connections open now."),
            &["listener"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                name("connections_refused_total"),
                "Connections closed before their first request.",
            ),
            &["listener", "reason"],
        )?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(move |listener: &str| Self {
            accepted: accepted.with_label_values(&[listener]),
            open: open.with_label_values(&[listener]),
            proxy_header_refused: refused.with_label_values(&[listener, "proxy_header"]),
            tls_failed: refused.with_label_values(&[listener, "tls_handshake"]),
        })
    }
}

/// What a connection begins with.
enum Acceptor {
    Plain,
    Tls(TlsAcceptor),
    Mutual(Arc<MutualTls>),
}

/// What all connections of a listener have in common.
pub(super) struct Settings {
    tls: Acceptor,
    proxy_protocol: ProxyProtocol,
    limits: HttpLimits,
    metrics: Metrics,
    on_round_trip: Option<OnRoundTrip>,
    http: auto::Builder<TokioExecutor>,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl Settings {
    pub(super) fn new(
        tls: Option<Tls>,
        proxy_protocol: ProxyProtocol,
        limits: HttpLimits,
        metrics: Metrics,
        on_round_trip: Option<OnRoundTrip>,
    ) -> Self {
        let http = builder(limits);
        Self {
            tls: match tls {
                None => Acceptor::Plain,
                Some(Tls::Server(certificates)) => {
                    Acceptor::Tls(TlsAcceptor::from(certificates.server_config()))
                }
                Some(Tls::Mutual(mutual)) => Acceptor::Mutual(mutual),
            },
            proxy_protocol,
            limits,
            metrics,
            on_round_trip,
            http1: http.clone().http1_only(),
            http2: http.clone().http2_only(),
            http,
        }
    }
}

fn builder(limits: HttpLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.concurrent_streams)
        // A window that a far client can fill: 1 MiB is 100 Mbit/s at 80 ms.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_send_buf_size(1 << 20)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Counts one open connection, however it ends.
struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) async fn serve<F, R, B>(
    mut stream: TcpStream,
    peer: SocketAddr,
    settings: Arc<Settings>,
    respond: F,
    drain: Drain,
) where
    F: Fn(Peer, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let metrics = &settings.metrics;
    metrics.accepted.inc();
    metrics.open.inc();
    let _open = Open(metrics.open.clone());
    let limit = settings.limits.handshake_timeout;

    let (address, first) = if settings.proxy_protocol.is_off() {
        (peer, BytesMut::new())
    } else {
        match timeout(limit, settings.proxy_protocol.accept(&mut stream, peer)).await {
            Ok(Ok(Ok(accepted))) => accepted,
            Ok(Ok(Err(refused))) => return refuse(metrics, peer, refused),
            Ok(Err(_)) => return,
            Err(_) => return refuse(metrics, peer, Refused::Cut),
        }
    };
    // Where a proxy speaks for the client, the connection's time is the proxy's.
    let report = settings.on_round_trip.clone().filter(|_| address == peer);
    let stream = Measured::new(stream, report.map(|report| (peer.ip(), report)));
    let peer = Peer {
        address,
        tls: !matches!(settings.tls, Acceptor::Plain),
        client: None,
    };

    let (acceptor, mutual) = match &settings.tls {
        Acceptor::Plain if first.is_empty() => {
            return http(&settings.http, stream, peer, respond, drain, None).await;
        }
        Acceptor::Plain => {
            let stream = Rewind::new(first, stream);
            return http(&settings.http, stream, peer, respond, drain, None).await;
        }
        Acceptor::Tls(acceptor) => (acceptor.clone(), None),
        Acceptor::Mutual(mutual) => (mutual.acceptor(), Some(mutual)),
    };
    let refuse = |reason: &dyn std::fmt::Display| {
        metrics.tls_failed.inc();
        if let Some(mutual) = mutual {
            mutual.refused(address, reason);
        }
    };
    let stream = match timeout(limit, acceptor.accept(Rewind::new(first, stream))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return refuse(&error),
        Err(_) => return refuse(&"the handshake took too long"),
    };
    let client = mutual.map(|mutual| mutual.client(stream.get_ref().1));
    if client == Some(None) {
        return refuse(&"its certificate names nobody that is known here");
    }
    let peer = Peer {
        client: client.flatten(),
        ..peer
    };
    let version = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => &settings.http2,
        _ => &settings.http1,
    };
    let age = mutual.map(|mutual| mutual.age());
    http(version, stream, peer, respond, drain, age).await;
}

fn refuse(metrics: &Metrics, peer: SocketAddr, refused: Refused) {
    metrics.proxy_header_refused.inc();
    tracing::debug!(%peer, reason = %refused, "connection refused");
}

async fn http<S, F, R, B>(
    version: &auto::Builder<TokioExecutor>,
    stream: S,
    peer: Peer,
    respond: F,
    drain: Drain,
    age: Option<Duration>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Peer, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Mapped, not awaited in a block of its own, which would hold the response's future twice.
    let service = service_fn(move |request| respond(peer, request).map(Ok::<_, Infallible>));
    let mut connection =
        pin!(version.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // In a set of its own, the drain is looked at when it begins, not each time the connection wakes:
    // looking takes a lock that all connections share.
    let mut drained: FuturesUnordered<_> = std::iter::once(drain.started()).collect();
    tokio::select! {
        biased;
        // Clients reset connections all the time; what matters of it is in the access log.
        _ = connection.as_mut() => {}
        _ = drained.next() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        () = sleep(age.unwrap_or_default()), if age.is_some() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
