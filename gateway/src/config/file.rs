//! The configuration as it is written. Every field's comment gives its meaning; `Default` gives what
//! holds when it is left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::listener::{ProxyProtocolFile, TlsFile};
use serving::secret::SecretSource;
use serving::telemetry::LogFile;
use serving::units::{ByteSize, Duration};

use super::certificates::CertificatesFile;
use super::dns_file::DnsFile;
use super::health::HealthFile;
use crate::route::{Outside, SteeringMode};

/// One gateway process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The region that this process serves; one of `regions`.
    pub region: String,
    /// All regions of the fleet.
    pub regions: Vec<RegionFile>,
    /// Addresses that clients and other regions connect to.
    pub listeners: Vec<ListenerFile>,
    /// The private listener: liveness, readiness, metrics, dashboard and API.
    #[serde(default)]
    pub admin: AdminFile,
    /// What is logged.
    #[serde(default)]
    pub log: LogFile,
    /// Threads that answer requests; 0 means one a core.
    #[serde(default)]
    pub workers: usize,
    /// Networks whose `Forwarded` and `X-Forwarded-For` are believed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Networks from which other regions' gateways connect.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub peers: Vec<IpNet>,
    /// Links between regions on which both ends show a certificate. Without it, links are plain, and
    /// trusted by `peers`.
    #[serde(default)]
    pub mesh: Option<MeshFile>,
    /// Where addresses are. Without databases, the built-in country data.
    #[serde(default)]
    pub geo: GeoFile,
    /// How regions are checked and chosen.
    #[serde(default)]
    pub steering: SteeringFile,
    /// How much is admitted.
    #[serde(default)]
    pub limits: LimitsFile,
    /// PEM files with certificate authorities for `https` upstreams and regions, beside the system's.
    #[serde(default)]
    pub certificate_authorities: Vec<PathBuf>,
    /// Certificates had by ACME for names that many clusters serve.
    #[serde(default)]
    pub certificates: Option<CertificatesFile>,
    /// Where assets come from.
    #[serde(default)]
    pub asset_server: Option<AssetServerFile>,
    /// Whose hosts have rules of their own, by name.
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantFile>,
    /// The authoritative DNS server; left out, there is none.
    #[serde(default)]
    pub dns: Option<DnsFile>,
    /// Services that routes point to, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamFile>,
    /// Which requests go where. The most specific match answers: host, then path, then the rest.
    pub routes: Vec<RouteFile>,
    /// Directory for what outlives the process: learnt round trips and drain orders. Left out: nothing is
    /// kept, but in memory and by the other regions.
    #[serde(default)]
    pub state_directory: Option<PathBuf>,
    /// Time that requests in flight have to finish when the process is asked to stop.
    #[serde(default = "default_drain_timeout")]
    pub drain_timeout: Duration,
}

fn default_drain_timeout() -> Duration {
    Duration::from_secs(30)
}

/// One region.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionFile {
    /// Its name. A DigitalOcean slug such as `ams3` brings its location along.
    pub name: String,
    /// Where it stands; needed for names that are not in the catalogue.
    #[serde(default)]
    pub location: Option<LocationFile>,
    /// How other regions reach its gateway, such as `https://ams3.edge.example.com`. Our own needs none.
    #[serde(default)]
    pub address: Option<String>,
    /// How other regions reach its mesh listener: host and port. Wins over `address`.
    #[serde(default)]
    pub mesh: Option<String>,
    /// How clients reach it without steering; the target of redirects.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The part of its users that it gets while all is well, 0 to 1; 0 takes what others cannot.
    #[serde(default = "default_weight")]
    pub weight: f32,
    /// Addresses at which clients reach it, which our own DNS answers.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

fn default_weight() -> f32 {
    1.0
}

/// A place on Earth, WGS 84, in degrees.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationFile {
    /// North is positive.
    pub latitude: f32,
    /// East is positive.
    pub longitude: f32,
}

/// One address to listen on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerFile {
    /// Name in logs and metrics.
    pub name: String,
    /// Address and port. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether other processes may listen on the same address, each getting a part of the connections.
    #[serde(default)]
    pub share_port: bool,
    /// Certificates; chosen by the name the client asks for, else the first. Plain HTTP where this and `acme`
    /// are empty.
    #[serde(default)]
    pub tls: Vec<TlsFile>,
    /// Names whose certificates are had from the authority in `certificates`.
    #[serde(default)]
    pub acme: Vec<String>,
    /// The PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocolFile,
}

/// The private listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminFile {
    /// Address and port; keep it inside the cluster.
    pub address: SocketAddr,
    /// The token that changing anything needs. Without one, nothing can be changed.
    pub token: Option<SecretSource>,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9090)),
            token: None,
        }
    }
}

/// Links between regions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshFile {
    /// Address and port that the other regions connect to.
    pub listen: SocketAddr,
    /// Whether other processes may listen there, too, each getting a part of the connections.
    #[serde(default)]
    pub share_port: bool,
    /// PEM file with this region's certificate, for `<region>.region.edge.internal`.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// PEM files with the authorities that regions' certificates are checked against.
    pub authorities: Vec<PathBuf>,
    /// The mesh listeners of this region's other gateways, `host:port`; a name stands for all its
    /// addresses. Our own may be among them.
    #[serde(default)]
    pub siblings: Vec<String>,
    /// Whether requests may be carried through a third region where that is faster or the only way.
    #[serde(default = "default_relay")]
    pub relay: bool,
}

fn default_relay() -> bool {
    true
}

/// Where addresses are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeoFile {
    /// MaxMind-format or CSV files with countries or cities; reloaded when they change.
    pub databases: Vec<PathBuf>,
    /// MaxMind-format files with autonomous systems.
    pub asn: Vec<PathBuf>,
    /// CSV file with networks whose place or region you know better.
    pub overrides: Option<PathBuf>,
}

/// How regions are checked and chosen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SteeringFile {
    /// The check of other regions.
    pub health_check: RegionCheckFile,
    /// When regions count as down for the whole world, and how many at once.
    pub health: HealthFile,
    /// Time over which a region that was down gets its users back.
    pub slow_start: Duration,
    /// What a busy region does.
    pub spill: SpillFile,
    /// Groups of clients with an order of regions of their own; the first that a client is in counts.
    pub preference: Vec<PreferenceFile>,
    /// Connections to, and answers from, other regions.
    pub timeouts: TimeoutsFile,
    /// What is learnt of clients' round trips.
    pub learning: LearningFile,
    /// How long an `Alt-Svc` header that names a better region counts; 0 sends none. Only for fleets
    /// whose certificates cover the same names in every region.
    pub alt_svc: Duration,
    /// Who may ask why with `x-edge-explain`.
    pub explain: ExplainFile,
}

/// What is learnt of clients' round trips.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LearningFile {
    /// Client prefixes (/24, /48) kept; some 300 bytes each.
    pub prefixes: usize,
    /// Connections from which on a measurement beats the model.
    pub min_samples: u32,
    /// Age up to which it does.
    pub fresh_for: Duration,
    /// Part of the time that clients for whom two regions may be equally near are sent to the one that
    /// was not measured, 0 to 0.1; 0 is never.
    pub explore: f32,
    /// How much farther than the best region one may seem and still be tried.
    pub explore_margin: Duration,
}

impl Default for LearningFile {
    fn default() -> Self {
        Self {
            prefixes: 50_000,
            min_samples: 3,
            fresh_for: Duration::from_secs(24 * 3600),
            explore: 0.01,
            explore_margin: Duration::from_millis(20),
        }
    }
}

/// Who may ask why with `x-edge-explain`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainFile {
    /// The token that `x-edge-explain-token` must have. Without one, nobody may.
    pub token: Option<SecretSource>,
    /// Everybody may. For demos and tests.
    pub anyone: bool,
}

impl Default for SteeringFile {
    fn default() -> Self {
        Self {
            health_check: RegionCheckFile::default(),
            health: HealthFile::default(),
            slow_start: Duration::from_secs(60),
            spill: SpillFile::default(),
            preference: Vec::new(),
            timeouts: TimeoutsFile::default(),
            learning: LearningFile::default(),
            alt_svc: Duration::from_secs(0),
            explain: ExplainFile::default(),
        }
    }
}

/// What a busy region does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpillFile {
    /// Part of `limits.requests_in_flight` from which it sends new users to others, 0.1 to 0.95.
    pub from: f32,
    /// Time over which it gets them all back.
    pub growth: Duration,
}

impl Default for SpillFile {
    fn default() -> Self {
        Self {
            from: 0.75,
            growth: Duration::from_secs(60),
        }
    }
}

/// A group of clients and its order of regions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceFile {
    /// ISO 3166-1 codes of countries.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Networks of clients.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Regions, best first; the others follow by round trip.
    pub regions: Vec<String>,
}

/// Where data may be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidencyFile {
    /// The only regions that may answer.
    pub regions: Vec<String>,
    /// What the others do: carry a request to one of these, or refuse it with 421.
    #[serde(default)]
    pub outside: Outside,
}

/// Somebody whose hosts have rules of their own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantFile {
    /// Its hosts, such as `acme.example.com` or `*.acme.example.com`.
    pub hosts: Vec<String>,
    /// Where its data may be; left out: everywhere.
    #[serde(default)]
    pub residency: Option<ResidencyFile>,
    /// Its order of regions, best first; empty: by round trip.
    #[serde(default)]
    pub preference: Vec<String>,
}

/// The check of other regions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegionCheckFile {
    /// Time between two checks.
    pub interval: Duration,
    /// Time an answer may take.
    pub timeout: Duration,
    /// Failures in a row that make a region down.
    pub down_after: u32,
    /// Answers in a row that make it up again.
    pub up_after: u32,
}

impl Default for RegionCheckFile {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            down_after: 2,
            up_after: 3,
        }
    }
}

/// How much is admitted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsFile {
    /// Requests inside at once; more get 503.
    pub requests_in_flight: usize,
    /// Request line and headers of one request; more get 431.
    pub header_size: ByteSize,
    /// Until a request's headers are complete; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// For the PROXY header and the TLS handshake together.
    pub handshake_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub concurrent_streams: u32,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            requests_in_flight: 16_384,
            header_size: ByteSize::kib(64),
            header_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            concurrent_streams: 256,
        }
    }
}

/// Where assets come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AssetServerFile {
    /// The asset server in this process; the same keys as a configuration file of `asset-server` for
    /// mounts, memory, disk and origin.
    Embedded(Box<asset_server::ConfigFile>),
    /// Asset servers of their own.
    Remote(UpstreamFile),
}

/// A service that routes point to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamFile {
    /// Its addresses in this region, such as `http://10.0.0.7:8080`.
    pub endpoints: Vec<String>,
    /// Regions that have it; others carry its requests there. Left out: every region.
    pub regions: Option<Vec<String>>,
    /// Speaks HTTP/2 without asking first (`h2c`, or TLS with `h2`). Upgrades need HTTP/1.1.
    pub http2: bool,
    /// Its timers.
    pub timeouts: TimeoutsFile,
    /// How its endpoints are checked; left out: only by their connections.
    pub health_check: Option<HealthCheckFile>,
}

/// The timers of a request to an upstream.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// From the end of the request until the response's headers.
    pub first_byte: Duration,
    /// Between two frames of a response body.
    pub idle: Duration,
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(300),
        }
    }
}

/// The active check of an upstream's endpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheckFile {
    /// Path that answers 2xx while the endpoint is well.
    pub path: String,
    /// Time between checks.
    pub interval: Duration,
    /// Time an answer may take.
    pub timeout: Duration,
}

impl Default for HealthCheckFile {
    fn default() -> Self {
        Self {
            path: "/healthz".into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        }
    }
}

/// One rule from requests to what answers them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteFile {
    /// Name in logs and metrics.
    pub name: String,
    /// Conditions; all must hold.
    #[serde(default, rename = "match")]
    pub matches: MatchFile,
    /// What to do when the client's best region is another one.
    #[serde(default)]
    pub steering: SteeringMode,
    /// Size of a usual response, for `auto`. Assets say their own once they are found.
    #[serde(default)]
    pub expected_size: Option<ByteSize>,
    /// Where its data may be; left out: everywhere its tenant's may.
    #[serde(default)]
    pub residency: Option<ResidencyFile>,
    /// Its order of regions, best first; empty: that of the tenant or the client's group, else by round trip.
    #[serde(default)]
    pub preference: Vec<String>,
    /// What answers.
    pub action: ActionFile,
}

/// The conditions of a route.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatchFile {
    /// `edge.example.com`, `*.example.com`, or left out for every host.
    pub host: Option<String>,
    /// Path; left out for every path.
    pub path: Option<PathFile>,
    /// Methods; left out for every method.
    pub methods: Vec<String>,
    /// Headers with the value that they must have.
    pub headers: BTreeMap<String, String>,
}

/// One condition on the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum PathFile {
    /// This path and all below it.
    Prefix(String),
    /// This path alone.
    Exact(String),
    /// Segments, of which those in braces stand for any one: `/jobs/{id}/logs`.
    Template(String),
}

/// What answers a route.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ActionFile {
    /// The asset server.
    Assets,
    /// An upstream.
    Upstream {
        /// Its name under `upstreams`.
        name: String,
        /// Taken off the path before the request goes on.
        #[serde(default)]
        strip_prefix: Option<String>,
    },
    /// Another place.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        #[serde(default = "default_redirect_status")]
        status: u16,
        /// The place. A trailing `*` stands for the request's path and query.
        to: String,
    },
    /// A fixed answer.
    Respond {
        /// Its status.
        #[serde(default = "default_respond_status")]
        status: u16,
        /// Its media type.
        #[serde(default = "default_content_type")]
        content_type: String,
        /// Its body.
        #[serde(default)]
        body: String,
    },
}

fn default_redirect_status() -> u16 {
    308
}

fn default_respond_status() -> u16 {
    200
}

fn default_content_type() -> String {
    "text/plain; charset=utf-8".into()
}
