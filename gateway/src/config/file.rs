//! The configuration as it is written. Every field's comment gives its meaning; `Default` gives what
//! holds when it is left out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::listener::{ProxyProtocolFile, TlsFile};
use serving::secret::SecretSource;
use serving::telemetry::LogFile;
use serving::units::{ByteSize, Duration};

use super::certificates::CertificatesFile;
use crate::route::SteeringMode;

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
    /// Services that routes point to, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamFile>,
    /// Which requests go where. The most specific match answers: host, then path, then the rest.
    pub routes: Vec<RouteFile>,
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
    /// How clients reach it without steering; the target of redirects.
    #[serde(default)]
    pub public_url: Option<String>,
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
    /// Time over which a region that was down gets its users back.
    pub slow_start: Duration,
    /// Connections to, and answers from, other regions.
    pub timeouts: TimeoutsFile,
}

impl Default for SteeringFile {
    fn default() -> Self {
        Self {
            health_check: RegionCheckFile::default(),
            slow_start: Duration::from_secs(60),
            timeouts: TimeoutsFile::default(),
        }
    }
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
            timeout: Duration::from_secs(2),
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
