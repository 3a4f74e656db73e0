//! Sockets around the answers: threads of their own for datagrams, which are many and answered in a
//! microsecond, and tasks for connections, which are few and slow.

mod tcp;

mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::answer::{Authority, Response, Transport, answer};
use super::cookie::{CookieSecret, CookieState};
use super::metrics::DnsMetrics;
use super::rate_limit::{RateLimiter, Verdict};
use super::serial::next_serial;
use super::steered::steered;
use super::zone::Zones;
use crate::config::DnsConfig;
use crate::gateway::Edge;
use crate::region::RegionSet;

/// Bytes that the kernel keeps of datagrams that wait, where it allows so many: 4 MiB are some 5,000.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How often the regions' state is compared with that of the zones' last serial number.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a free port is looked for that is free for both transports.
const PORT_TRIES: usize = 16;

/// Why DNS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken, or not ours.
    #[error("cannot listen on {address} for DNS: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// Bound sockets, before anything is answered.
pub struct DnsServer {
    /// Bound addresses, as the configuration lists them.
    pub addresses: Vec<SocketAddr>,
    datagrams: Vec<UdpSocket>,
    connections: Vec<TcpListener>,
    shared: Arc<Shared>,
}

/// What all sockets share.
struct Shared {
    zones: Zones,
    serial: AtomicU32,
    secret: CookieSecret,
    limiter: RateLimiter,
    metrics: DnsMetrics,
    tcp_idle: Duration,
    tcp_connections: usize,
    started: Instant,
    is_over: AtomicBool,
}

impl DnsServer {
    /// Binds every address, for datagrams once a thread.
    pub fn bind(
        config: DnsConfig,
        workers: Option<usize>,
        regions: &RegionSet,
        registry: &Registry,
    ) -> Result<Self, ServeError> {
        let metrics = DnsMetrics::register(registry, regions)?;
        let threads = workers
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
            .unwrap_or(1);
        let (mut addresses, mut datagrams, mut connections) = (Vec::new(), Vec::new(), Vec::new());
        for address in config.listen {
            let (udp, tcp) = bind(address, config.share_port, threads)
                .map_err(|source| ServeError::Bind { address, source })?;
            addresses.push(tcp.local_addr().unwrap_or(address));
            datagrams.extend(udp);
            connections.push(tcp);
        }
        let serial = next_serial(0, unix_now());
        metrics.serial.set(serial.into());
        Ok(Self {
            addresses,
            datagrams,
            connections,
            shared: Arc::new(Shared {
                zones: config.zones,
                serial: AtomicU32::new(serial),
                secret: config.secret,
                limiter: RateLimiter::new(config.rate_limit, fastrand::u64(..)),
                metrics,
                tcp_idle: config.tcp_idle,
                tcp_connections: config.tcp_connections,
                started: Instant::now(),
                is_over: AtomicBool::new(false),
            }),
        })
    }

    /// Answers, until the handle that is returned is dropped.
    pub fn serve(self, edge: &Arc<Edge>) -> Serving {
        for socket in self.datagrams {
            let (edge, shared) = (edge.clone(), self.shared.clone());
            let thread = std::thread::Builder::new().name("dns".into());
            let run = move || udp::serve(&socket, &edge, &shared);
            if let Err(error) = thread.spawn(run) {
                tracing::error!(%error, "a DNS thread could not be started");
            }
        }
        for socket in self.connections {
            tokio::spawn(tcp::serve(socket, edge.clone(), self.shared.clone()));
        }
        tokio::spawn(count_changes(edge.clone(), self.shared.clone()));
        Serving(self.shared)
    }
}

/// Ends the sockets' threads and tasks when it is dropped.
pub struct Serving(Arc<Shared>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Answers what came at one moment, message by message.
    fn at<'a>(&'a self, edge: &'a Edge, now: Instant) -> Moment<'a> {
        Moment {
            shared: self,
            edge,
            now,
            unix: unix_now(),
        }
    }
}

/// A point in time, taken once for all messages of a batch.
struct Moment<'a> {
    shared: &'a Shared,
    edge: &'a Edge,
    now: Instant,
    unix: u32,
}

impl Moment<'_> {
    /// Writes the response to a message; `None` where nothing is to be sent.
    fn respond(
        &self,
        request: &[u8],
        source: IpAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Option<usize> {
        let Self {
            shared,
            edge,
            now,
            unix,
        } = *self;
        let steer = |name: &[u8], client| steered(edge, &shared.zones.available, name, client, now);
        let challenges = edge.certificates.as_ref().map(|kept| kept.challenges());
        let authority = Authority {
            zones: &shared.zones,
            serial: shared.serial.load(Ordering::Relaxed),
            challenges: challenges.as_deref(),
            secret: shared.secret,
            now,
            unix,
            steer: &steer,
        };
        let mut response = answer(&authority, request, source, transport, out);
        let verdict = match &mut response {
            Some(response) if transport == Transport::Udp => self.limit(response, source, out),
            _ => Verdict::Send,
        };
        shared.metrics.count(transport, response.as_ref(), verdict);
        response
            .filter(|_| verdict != Verdict::Drop)
            .map(|response| response.len)
    }

    fn limit(&self, response: &mut Response, source: IpAddr, out: &mut [u8]) -> Verdict {
        if response.cookie == CookieState::Valid {
            return Verdict::Send;
        }
        let since = self.now.saturating_duration_since(self.shared.started);
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let limiter = &self.shared.limiter;
        let verdict = limiter.decide(source, response.kind, response.about, micros);
        if verdict == Verdict::Slip {
            response.slip(out);
        }
        verdict
    }
}

/// Gives the zones a new serial number whenever a region's state has changed. Answers do not wait for it: they
/// are made from the state itself.
async fn count_changes(edge: Arc<Edge>, shared: Arc<Shared>) {
    let state = || -> Vec<(bool, u8, bool)> {
        let standing = |(index, _)| edge.standing_for_world(index, true, Instant::now());
        let states = edge.regions.iter().map(standing);
        let coarse = |part: f32| (part * 10.0) as u8;
        states
            .map(|standing| {
                (
                    standing.status.is_usable(),
                    coarse(standing.share * standing.spill.share),
                    standing.is_drained,
                )
            })
            .collect()
    };
    let mut before = state();
    while !shared.is_over() {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = state();
        if now != before {
            let serial = next_serial(shared.serial.load(Ordering::Relaxed), unix_now());
            shared.serial.store(serial, Ordering::Relaxed);
            shared.metrics.serial.set(serial.into());
            before = now;
        }
    }
}

/// One TCP socket, and as many for datagrams as there are threads, all on one port.
fn bind(
    address: SocketAddr,
    share: bool,
    threads: usize,
) -> io::Result<(Vec<UdpSocket>, TcpListener)> {
    let tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..tries {
        result = bind_once(address, share, threads);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn bind_once(
    address: SocketAddr,
    share: bool,
    threads: usize,
) -> io::Result<(Vec<UdpSocket>, TcpListener)> {
    let tcp = serving::listener::bind(address, share).map_err(|error| error.source)?;
    let address = tcp.local_addr()?;
    if !share {
        // Our sockets share the port with each other. That another process has it would go unnoticed.
        datagram_socket(address, false)?;
    }
    let udp = (0..threads).map(|_| datagram_socket(address, true));
    Ok((udp.collect::<io::Result<_>>()?, tcp))
}

fn datagram_socket(address: SocketAddr, share: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(share)?;
    // The kernel cuts it down to what it allows.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    // So that the thread sees when it is over.
    socket.set_read_timeout(Some(Duration::from_millis(250)))?;
    Ok(socket.into())
}

fn unix_now() -> u32 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() as u32 // as all DNS times, it wraps in 2106
}
