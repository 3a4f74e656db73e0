//! From a configuration to a serving process, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use asset_server::AssetServer;
use geo_db::{CostTable, GeoDb};
use prometheus::Registry;
use serving::drain::Drain;
use serving::listener::{
    self, BindError, Certificates, Issued, Listener, Metrics as ListenerMetrics, MutualTls,
    OnRoundTrip, TlsError,
};
use tokio::net::TcpListener;

use super::{Assets, Edge, balance, reload};
use crate::admission::Admission;
use crate::certificates;
use crate::config::{AssetServerConfig, Config, MeshConfig};
use crate::dns::{DnsServer, ServeError, Serving};
use crate::learning::{self, Learning};
use crate::metrics::{self, Metrics};
use crate::region::drain_order::StoreError;
use crate::region::{self, Drains, Hearsay, Load, World};
use crate::steering::Balance as Shares;
use crate::upstream::{self, Balance, roots};
use crate::{admin, mesh, request_path};

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Certificates cannot be loaded.
    #[error("listener {listener}: {source}")]
    Tls {
        /// The listener's name.
        listener: String,
        /// The reason.
        source: TlsError,
    },
    /// The key material of the mesh cannot be used.
    #[error("mesh: {0}")]
    Mesh(#[from] mesh::KeysError),
    /// Certificates cannot be kept.
    #[error("certificates: {0}")]
    Certificates(#[from] certificates::StartError),
    /// A file with certificate authorities cannot be loaded.
    #[error("certificate authorities: {file}: {source}")]
    Roots {
        /// The file.
        file: String,
        /// The reason.
        source: rustls_pki_types::pem::Error,
    },
    /// Geo data cannot be loaded.
    #[error("geo data: {0}")]
    Geo(#[from] geo_db::OpenError),
    /// There are more regions than can be ranked.
    #[error(transparent)]
    Regions(#[from] geo_db::TooManyRegions),
    /// The asset server cannot start.
    #[error("asset server: {0}")]
    Assets(#[from] asset_server::StartError),
    /// The drain orders that were kept cannot be read.
    #[error(
        "state_directory: {0}; without it a drained region could get users: mend the file, or remove it"
    )]
    State(#[from] StoreError),
    /// DNS cannot be served.
    #[error(transparent)]
    Dns(#[from] ServeError),
    /// Two metrics have one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A serving gateway.
pub struct Gateway {
    /// What answers requests.
    pub edge: Arc<Edge>,
    /// Names and bound addresses of the listeners, in the order of the configuration.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Bound address of the private listener.
    pub admin: SocketAddr,
    drain_timeout: Duration,
    _geo_watcher: Option<geo_db::Watcher>,
    dns: Option<Serving>,
}

impl Gateway {
    /// Binds every address, starts what runs in the background and begins to serve.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let registry = Registry::new();
        let drain = Drain::new();
        let metrics = Metrics::register(&registry, &config.regions)?;
        let listener_metrics = ListenerMetrics::register(&registry, "gateway")?;

        let certificates = match config.certificates.take() {
            None => None,
            Some(file) => {
                let roots = roots(&file.authorities)
                    .map_err(|(file, source)| StartError::Roots { file, source })?;
                let region = config.regions.own().name;
                Some(certificates::Certificates::start(
                    file,
                    &roots,
                    region.as_str(),
                    &registry,
                    &drain,
                )?)
            }
        };
        let issued = certificates
            .as_ref()
            .map_or_else(Arc::<Issued>::default, certificates::Certificates::issued);

        // Addresses first: a port in use is the commonest fault, and nothing else has happened yet.
        let mut listeners = Vec::new();
        for file in &config.listeners {
            let certificates = if file.tls.is_empty() && file.acme.is_empty() {
                None
            } else {
                let (files, names) = (file.tls.clone(), file.acme.clone());
                let loaded = Certificates::load_beside(files, names, issued.clone());
                Some(loaded.map_err(|source| StartError::Tls {
                    listener: file.name.clone(),
                    source,
                })?)
            };
            let socket = listener::bind(file.address, file.share_port)?;
            if let Some(certificates) = &certificates {
                drain.spawn(reload::certificates(certificates.clone(), drain.clone()));
            }
            let listener = Listener::new(socket, listener_metrics(&file.name))
                .with_tls(certificates)
                .with_proxy_protocol(file.proxy_protocol.clone())
                .with_limits(config.http_limits);
            listeners.push(listener);
        }
        let mesh = config
            .mesh
            .as_ref()
            .map(|file| open_mesh(file, &config))
            .transpose()?;
        let admin_socket = listener::bind(config.admin, false)?;
        let dns = config.dns.take();
        let dns = dns.map(|dns| DnsServer::bind(dns, config.workers, &config.regions, &registry));
        let dns = dns.transpose()?;

        let roots = roots(&config.certificate_authorities)
            .map_err(|(file, source)| StartError::Roots { file, source })?;
        let settings = reload::settings(&config, &metrics, &roots);
        // Peers with addresses of their own are told by these.
        let tells_regions = matches!(
            &config.asset_server,
            Some(AssetServerConfig::Embedded(config)) if config.purge.peers.is_empty()
        );
        let assets = match config.asset_server {
            None => None,
            Some(AssetServerConfig::Embedded(config)) => Some(Assets::Embedded(
                AssetServer::start(*config, &registry).await?,
            )),
            Some(AssetServerConfig::Remote(remote)) => Some(Assets::Remote(Arc::new(
                reload::upstream(&remote, Balance::CacheKey, &roots, &metrics),
            ))),
        };
        let geo = GeoDb::open(&config.geo)?;
        let geo_watcher = geo
            .watch()
            .inspect_err(|error| tracing::warn!(%error, "geo data will not be reloaded"))
            .ok();
        let drains = Drains::open(&config.regions, config.state_directory)?;
        let admission = Admission::new(config.requests_in_flight);
        metrics::register_pulled(&registry, &admission, &geo)?;
        let edge = Arc::new(Edge {
            costs: CostTable::new(&config.regions.points())?,
            geo,
            health_policy: config.health_policy,
            health_check: config.health_check,
            world: World::new(config.world_policy),
            hearsay: Hearsay::new(Instant::now()),
            state: mesh::State::new(mesh::Instance::started_now()),
            learning: Learning::new(config.learning, &config.regions),
            correction: config.correction,
            load: ArcSwap::from_pointee(Load::default()),
            balance: ArcSwap::from_pointee(Shares::new(config.regions.len())),
            spill: config.spill,
            drains,
            preferences: config.preferences,
            mesh: mesh::Links::new(
                &config.regions,
                mesh.as_ref().map(|mesh| &mesh.keys),
                config.link_timeouts,
                &roots,
                config.mesh.as_ref().is_some_and(|mesh| mesh.relay),
                |region| metrics.mesh.carried(region),
            ),
            certificates,
            assets,
            settings: ArcSwap::from_pointee(settings),
            admission,
            fixed: config.fixed,
            metrics,
            registry,
            drain: drain.clone(),
            regions: config.regions,
        });
        reload::check_endpoints(&edge);
        if let Some(Assets::Embedded(server)) = &edge.assets {
            let (regions, post) = mesh::telling_of_purges(&edge);
            if !regions.is_empty() && tells_regions {
                server.tell_regions_of_purges(regions, post);
            }
        }
        if let Some(Assets::Remote(servers)) = &edge.assets {
            tokio::spawn(upstream::run_health_checks(
                Arc::downgrade(servers),
                drain.clone(),
            ));
        }
        let dns_addresses: Vec<_> = dns.iter().flat_map(|dns| dns.addresses.clone()).collect();
        let mut siblings = Vec::new();
        let mut names: Vec<String> = config
            .listeners
            .iter()
            .map(|file| file.name.clone())
            .collect();
        if let (Some(mesh), Some(file)) = (mesh, config.mesh) {
            edge.metrics.mesh.keys(&mesh.keys);
            let listener = Listener::new(mesh.socket, listener_metrics("mesh"))
                .with_mutual_tls(mesh.tls.clone())
                .with_limits(config.http_limits);
            listeners.push(listener);
            names.push("mesh".into());
            siblings = file.siblings;
            drain.spawn(reload::mesh_keys(edge.clone(), file.keys, mesh.tls));
        }
        let mut gateway = Self {
            listeners: names
                .into_iter()
                .zip(&listeners)
                .filter_map(|(name, listener)| Some((name, listener.local_addr().ok()?)))
                .chain(
                    dns_addresses
                        .into_iter()
                        .map(|address| ("dns".to_owned(), address)),
                )
                .collect(),
            admin: admin_socket.local_addr().map_err(|source| BindError {
                address: config.admin,
                source,
            })?,
            drain_timeout: config.drain_timeout,
            _geo_watcher: geo_watcher,
            dns: None,
            edge,
        };
        gateway
            .serve(listeners, admin_socket, config.admin_token, siblings)
            .await;
        gateway.dns = dns.map(|dns| dns.serve(&gateway.edge));
        Ok(gateway)
    }

    async fn serve(
        &self,
        listeners: Vec<Listener>,
        admin_socket: TcpListener,
        token: Option<serving::secret::Secret>,
        siblings: Vec<String>,
    ) {
        let edge = &self.edge;
        // Who is alive is known before the first request is steered.
        let peers: Vec<_> = edge.regions.peers().map(|(index, _)| index).collect();
        futures_util::future::join_all(peers.iter().map(|index| region::look(edge, *index))).await;
        // So is whom an operator has drained.
        let before = balance::start(edge);
        tokio::spawn(balance::run(edge.clone(), before));
        tokio::spawn(region::run_self_check(edge.clone(), edge.drain.clone()));
        for index in peers {
            tokio::spawn(region::run_health_checks(
                edge.clone(),
                index,
                edge.drain.clone(),
            ));
        }
        edge.drain
            .spawn(learning::run(edge.clone(), edge.drain.clone()));
        if !siblings.is_empty() {
            tokio::spawn(mesh::run_siblings(edge.clone(), siblings));
        }
        for listener in listeners {
            let edge = edge.clone();
            let listener = listener.with_round_trips(on_round_trip(&edge));
            let respond = {
                let edge = edge.clone();
                move |peer, request| request_path::respond(edge.clone(), peer, request)
            };
            tokio::spawn(async move { listener.serve(respond, edge.drain.clone()).await });
        }
        let router = admin::router(edge, token);
        // The private listener outlives the drain, so that its end can be watched.
        tokio::spawn(async move {
            if let Err(error) = axum::serve(admin_socket, router).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
    }

    /// Drains: readiness goes off, what is in flight finishes. Returns how many connections had to be cut.
    pub async fn drain(&self) -> usize {
        tracing::info!(in_flight = self.edge.admission.in_flight(), "draining");
        self.edge.drain.begin();
        let cut = self.edge.drain.finish(self.drain_timeout).await;
        if let Some(Assets::Embedded(server)) = &self.edge.assets {
            server.leave().await;
        }
        cut
    }
}

/// Connections of clients count; those of proxies and of other regions tell how far *they* are.
fn on_round_trip(edge: &Arc<Edge>) -> OnRoundTrip {
    let edge = Arc::downgrade(edge);
    Arc::new(move |client, rtt| {
        let Some(edge) = edge.upgrade() else {
            return;
        };
        let settings = edge.settings.load();
        if !settings.trusted_proxies.contains(client) && !settings.peers.contains(client) {
            edge.learning.observe(client, rtt);
        }
    })
}

/// The mesh before anything is built on it.
struct OpenMesh {
    socket: TcpListener,
    keys: mesh::Keys,
    tls: Arc<MutualTls>,
}

fn open_mesh(file: &MeshConfig, config: &Config) -> Result<OpenMesh, StartError> {
    let keys = mesh::Keys::load(&file.keys, config.regions.own().name.as_str())?;
    if let Some(reason) = &keys.trouble {
        tracing::error!(%reason, "other regions will not take this region's certificate");
    }
    Ok(OpenMesh {
        socket: listener::bind(file.listen, file.share_port)?,
        tls: keys.acceptor(&config.regions),
        keys,
    })
}
