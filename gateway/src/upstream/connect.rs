//! Connections to upstreams and to other regions: pooled, kept warm, over TLS where the address says so.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::forward::RequestBody;

/// A pool of connections.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, RequestBody>;

/// Certificate authorities that upstreams and regions are checked against.
pub type Roots = Arc<RootCertStore>;

/// The system's authorities and those of `files`.
pub fn roots(files: &[impl AsRef<Path>]) -> Result<Roots, (String, rustls_pki_types::pem::Error)> {
    let mut roots = RootCertStore::empty();
    // A machine without a certificate store can still talk plain, or to authorities of its own.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for file in files {
        let named = |error| (file.as_ref().display().to_string(), error);
        let found: Vec<_> = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(named)?;
        roots.add_parsable_certificates(found);
    }
    Ok(Arc::new(roots))
}

/// A pool that gives a connection `connect_timeout` to stand. `http2` speaks HTTP/2 without asking
/// first, as other regions and gRPC servers understand it.
pub fn client(http2: bool, connect_timeout: Duration, roots: &Roots) -> Client {
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let tcp = tcp(connect_timeout);
    let connector = if http2 {
        tls.enable_http2().wrap_connector(tcp)
    } else {
        tls.enable_http1().wrap_connector(tcp)
    };
    let mut pool = pool(http2);
    pool.http2_keep_alive_interval(Duration::from_secs(5))
        .http2_keep_alive_timeout(Duration::from_secs(5));
    pool.build(connector)
}

/// A pool of connections to another region, on which both ends show a certificate: ours is in `tls`,
/// theirs must be for `name`, wherever the address leads.
pub fn mutual_client(
    http2: bool,
    connect_timeout: Duration,
    tls: &Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
) -> Client {
    let resolve = move |_: &Uri| name.clone().ok_or("the region has no name");
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(ClientConfig::clone(tls))
        .https_only()
        .with_server_name_resolver(resolve);
    let tcp = tcp(connect_timeout);
    let connector = if http2 {
        tls.enable_http2().wrap_connector(tcp)
    } else {
        tls.enable_http1().wrap_connector(tcp)
    };
    let mut pool = pool(http2);
    // A region that is cut off is to be known before the next request comes.
    pool.http2_keep_alive_interval(Duration::from_secs(1))
        .http2_keep_alive_timeout(Duration::from_secs(3));
    pool.build(connector)
}

fn tcp(connect_timeout: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp
}

fn pool(http2: bool) -> legacy::Builder {
    let mut pool = legacy::Client::builder(TokioExecutor::new());
    pool.timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(50))
        .http2_only(http2)
        // Between regions one stream may carry a large object: 4 MiB is 25 MB/s at 160 ms.
        .http2_initial_stream_window_size(4 << 20)
        .http2_initial_connection_window_size(32 << 20)
        .http2_keep_alive_while_idle(true);
    pool
}
