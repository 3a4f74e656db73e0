//! The configuration: what is written ([`File`]), and what it means ([`Config`]).
//!
//! Everything is read, checked and complete before a port is bound.

mod certificates;

mod dns_file;

mod file;

mod fixed;

mod health;

mod resolve;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, StatusCode};
use serving::config::{ConfigError, Document};
use serving::listener::{HttpLimits, ProxyProtocol, TlsFile};
use serving::secret::Secret;
use serving::telemetry::LogFile;

pub use self::certificates::{
    AcmeFile, CertificateStoreFile, CertificatesFile, ExternalAccountFile,
};
pub use self::dns_file::{
    DnsFile, DnsRateLimitFile, DnsTcpFile, NameServerFile, RecordFile, SoaFile, SteeredFile,
    ZoneFile,
};
pub use self::file::{
    ActionFile, AdminFile, AssetServerFile, ExplainFile, File, GeoFile, HealthCheckFile,
    LearningFile, LimitsFile, ListenerFile, LocationFile, MatchFile, MeshFile, PathFile,
    PreferenceFile, RegionCheckFile, RegionFile, ResidencyFile, RouteFile, SpillFile, SteeringFile,
    TenantFile, TimeoutsFile, UpstreamFile,
};
pub use self::fixed::Fixed;
pub use self::health::{HealthFile, OutliersFile};
use crate::certificates::CertificatesConfig;
use crate::client_addr::TrustedProxies;
use crate::dns::{CookieSecret, RateLimit, Zones};
use crate::gateway::{CorrectionConfig, RegionCheck};
use crate::learning::LearningConfig;
use crate::mesh::{KeyFiles, LinkTimeouts};
use crate::region::{HealthPolicy, MAX_REGIONS, RegionSet, WorldPolicy};
use crate::route::{Matcher, Residency, Rules, SteeringMode, Tenants};
use crate::steering::{Preference, Preferences, SpillPolicy};
use crate::upstream::{HealthCheck, Timeouts};

/// A complete configuration.
#[derive(Debug)]
pub struct Config {
    /// All regions.
    pub regions: RegionSet,
    /// Addresses to listen on.
    pub listeners: Vec<ListenerConfig>,
    /// Address of the private listener.
    pub admin: SocketAddr,
    /// The token that changing anything needs.
    pub admin_token: Option<Secret>,
    /// What is logged.
    pub log: LogFile,
    /// Threads that answer requests; `None` means one a core.
    pub workers: Option<usize>,
    /// Whose word about the client is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where other regions' requests come from.
    pub peers: TrustedProxies,
    /// Links between regions that prove who they are.
    pub mesh: Option<MeshConfig>,
    /// Where addresses are.
    pub geo: geo_db::Sources,
    /// When a region counts as down or up.
    pub health_policy: HealthPolicy,
    /// How votes and responses become verdicts.
    pub world_policy: WorldPolicy,
    /// How often regions ask each other.
    pub health_check: RegionCheck,
    /// What is learnt of clients' round trips.
    pub learning: LearningConfig,
    /// How clients are told of better regions.
    pub correction: CorrectionConfig,
    /// When regions send users away.
    pub spill: SpillPolicy,
    /// Which groups of clients prefer which regions.
    pub preferences: Preferences,
    /// Whose hosts have rules of their own.
    pub tenants: Tenants,
    /// Where what outlives the process is kept.
    pub state_directory: Option<PathBuf>,
    /// Timers of carried requests.
    pub link_timeouts: LinkTimeouts,
    /// Requests inside at once.
    pub requests_in_flight: usize,
    /// What one connection may ask.
    pub http_limits: HttpLimits,
    /// Files with certificate authorities.
    pub certificate_authorities: Vec<PathBuf>,
    /// Certificates had by ACME.
    pub certificates: Option<CertificatesConfig>,
    /// Where assets come from.
    pub asset_server: Option<AssetServerConfig>,
    /// The authoritative DNS server.
    pub dns: Option<DnsConfig>,
    /// Services that routes point to.
    pub upstreams: Vec<UpstreamConfig>,
    /// Which requests go where.
    pub routes: Vec<RouteConfig>,
    /// Time that requests in flight have to finish.
    pub drain_timeout: Duration,
    /// What only a restart changes.
    pub fixed: Fixed,
}

/// One address to listen on.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Name in logs and metrics.
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Whether other processes may listen there, too.
    pub share_port: bool,
    /// Certificates from files.
    pub tls: Vec<TlsFile>,
    /// Names whose certificates are had by ACME. Plain HTTP where both are empty.
    pub acme: Vec<String>,
    /// The PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
}

/// The authoritative DNS server.
#[derive(Debug)]
pub struct DnsConfig {
    /// Addresses, for both transports.
    pub listen: Vec<SocketAddr>,
    /// Whether other processes may listen there, too.
    pub share_port: bool,
    /// What DNS cookies are made with.
    pub secret: CookieSecret,
    /// Connections at once.
    pub tcp_connections: usize,
    /// Time that a connection may wait.
    pub tcp_idle: Duration,
    /// How many responses one network gets.
    pub rate_limit: RateLimit,
    /// What is answered for.
    pub zones: Zones,
}

/// Links between regions that prove who they are.
#[derive(Debug)]
pub struct MeshConfig {
    /// Address that the other regions connect to.
    pub listen: SocketAddr,
    /// Whether other processes may listen there, too.
    pub share_port: bool,
    /// Certificate, key and authorities.
    pub keys: KeyFiles,
    /// Mesh listeners of this region's other gateways, `host:port`.
    pub siblings: Vec<String>,
    /// Whether third regions may carry.
    pub relay: bool,
}

/// Where assets come from.
#[derive(Debug)]
pub enum AssetServerConfig {
    /// The asset server in this process.
    Embedded(Box<asset_server::Config>),
    /// Asset servers of their own.
    Remote(UpstreamConfig),
}

/// A service that routes point to.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: String,
    /// Its addresses in this region.
    pub endpoints: Vec<(Scheme, Authority)>,
    /// Which regions have it, by region index.
    pub available: [bool; MAX_REGIONS],
    /// Whether it speaks HTTP/2 without being asked.
    pub http2: bool,
    /// Its timers.
    pub timeouts: Timeouts,
    /// How its endpoints are checked.
    pub health_check: Option<HealthCheck>,
}

/// One route.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name.
    pub name: String,
    /// Its conditions.
    pub matcher: Matcher,
    /// What to do when the client's best region is another one.
    pub steering: SteeringMode,
    /// Bytes of a usual response.
    pub expected_size: Option<u64>,
    /// Where its data may be.
    pub residency: Residency,
    /// Its order of regions.
    pub preference: Preference,
    /// What answers, by index into `upstreams` where it is one.
    pub action: ActionConfig,
}

/// What answers a route.
#[derive(Debug)]
pub enum ActionConfig {
    /// The asset server.
    Assets,
    /// An upstream.
    Upstream {
        /// Its index.
        index: usize,
        /// Taken off the path.
        strip_prefix: Option<String>,
    },
    /// Another place.
    Redirect(StatusCode, String),
    /// A fixed answer.
    Respond(StatusCode, HeaderValue, Bytes),
}

impl Config {
    /// What a request for `host` asks of regions, by the name of its route; `None` where no route has it.
    pub fn rules(&self, route: Option<&str>, host: &str) -> Option<Rules<'_>> {
        let rules = Rules::of(None, self.tenants.of_host(host));
        let Some(name) = route else {
            return Some(rules);
        };
        let route = self.routes.iter().find(|route| route.name == name)?;
        let preference = Some(&route.preference).filter(|list| !list.is_empty());
        Some(Rules {
            available: match &route.action {
                ActionConfig::Upstream { index, .. } => self.upstreams[*index].available,
                _ => [true; MAX_REGIONS],
            },
            residency: rules.residency.and(&route.residency),
            preference: preference.or(rules.preference),
            // Nothing runs, so nothing says what works.
            needs: None,
        })
    }
}

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    from_document(&Document::read(path)?)
}

/// Checks a configuration that is already read.
pub fn from_document(document: &Document) -> Result<Config, ConfigError> {
    let file: File = document.parse()?;
    resolve::resolve(file, document.directory()).map_err(|invalid| document.locate(invalid))
}

#[cfg(test)]
mod tests;
