//! TLS in which the client shows a certificate, too (RFC 8446 section 4.4.2), for connections between
//! our own processes. Who a certificate stands for is the listener's owner to say; requests then carry
//! that as [`Peer::client`](super::Peer::client).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;

/// After this time a connection is ended in good order, so that the next one shows a certificate that
/// is good then: an expired one does not live on in an old connection.
const CONNECTION_AGE: Duration = Duration::from_secs(3600);

/// Whom a verified client certificate stands for, as a number of the listener's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(pub u16);

type Identify = dyn Fn(&CertificateDer<'_>) -> Option<ClientId> + Send + Sync;

/// The TLS settings of one listener, replaced as a whole when its files change.
pub struct MutualTls {
    config: ArcSwap<ServerConfig>,
    identify: Box<Identify>,
    epoch: Instant,
    /// Second of the last line in the log, counted from 1, so that strangers cannot fill it.
    said_in: AtomicU64,
}

impl MutualTls {
    /// `config` must verify client certificates. `identify` says whom a verified certificate stands
    /// for; `None` refuses the connection.
    pub fn new(
        config: Arc<ServerConfig>,
        identify: impl Fn(&CertificateDer<'_>) -> Option<ClientId> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            config: ArcSwap::new(config),
            identify: Box::new(identify),
            epoch: Instant::now(),
            said_in: AtomicU64::new(0),
        })
    }

    /// What connections from now on are accepted with.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    pub(super) fn age(&self) -> Duration {
        CONNECTION_AGE
    }

    pub(super) fn client(&self, connection: &ServerConnection) -> Option<ClientId> {
        (self.identify)(connection.peer_certificates()?.first()?)
    }

    /// Names a refused connection in the log, once a second at most.
    pub(super) fn refused(&self, peer: SocketAddr, reason: &dyn fmt::Display) {
        let second = self.epoch.elapsed().as_secs() + 1;
        if self.said_in.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(%peer, %reason, "refused a connection, or its certificate");
        }
    }
}

impl fmt::Debug for MutualTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutualTls").finish_non_exhaustive()
    }
}
