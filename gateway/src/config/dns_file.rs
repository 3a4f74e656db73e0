//! DNS as it is written in the configuration.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::secret::SecretSource;
use serving::units::Duration;

/// The authoritative DNS server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsFile {
    /// Addresses and ports, for UDP and TCP alike. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Whether other processes may listen on the same addresses, each getting a part of the queries.
    #[serde(default)]
    pub share_port: bool,
    /// 32 hexadecimal digits that all gateways share, so that one takes the other's DNS cookies. Left out: made
    /// anew at each start.
    #[serde(default)]
    pub cookie_secret: Option<SecretSource>,
    /// Connections.
    #[serde(default)]
    pub tcp: DnsTcpFile,
    /// How many responses one network gets.
    #[serde(default)]
    pub rate_limit: DnsRateLimitFile,
    /// What is answered for.
    pub zones: Vec<ZoneFile>,
}

/// Connections to the DNS server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTcpFile {
    /// Connections at once, for each address; more are closed.
    pub connections: usize,
    /// Time that a connection may wait for its next query, or to take an answer.
    pub idle: Duration,
}

impl Default for DnsTcpFile {
    fn default() -> Self {
        Self {
            connections: 1024,
            idle: Duration::from_secs(10),
        }
    }
}

/// Response rate limiting, which keeps the server from being a mirror for floods with forged sources. Queries over
/// TCP and those with a valid DNS cookie are not limited.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsRateLimitFile {
    /// Equal answers a second to one network, /24 or /56; 0 means no limit.
    pub responses_per_second: u32,
    /// Errors a second, and answers that something does not exist, to one network; 0 means no limit.
    pub errors_per_second: u32,
    /// Every how many-th response over the limit is sent truncated, so that a real client asks again over TCP; 0
    /// means none.
    pub slip: u32,
    /// Networks without a limit.
    #[schemars(with = "Vec<String>")]
    pub exempt: Vec<IpNet>,
}

impl Default for DnsRateLimitFile {
    fn default() -> Self {
        Self {
            responses_per_second: 200,
            errors_per_second: 50,
            slip: 2,
            exempt: Vec::new(),
        }
    }
}

/// A zone. In it, names that do not end in a dot are relative to the zone, and `@` is the zone itself, as in a zone
/// file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneFile {
    /// Its name, such as `edge.example.com`.
    pub name: String,
    /// Who answers for it; the parent zone must have the same.
    pub name_servers: Vec<NameServerFile>,
    /// Its start of authority.
    #[serde(default)]
    pub soa: SoaFile,
    /// For how long resolvers keep what has no time of its own.
    #[serde(default = "default_ttl")]
    pub ttl: Duration,
    /// Names that lead each client to its best regions.
    #[serde(default)]
    pub steered: Vec<SteeredFile>,
    /// Everything else.
    #[serde(default)]
    pub records: Vec<RecordFile>,
}

fn default_ttl() -> Duration {
    Duration::from_secs(3600)
}

/// A name server: one region's gateways.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameServerFile {
    /// Its name, such as `ns1`.
    pub name: String,
    /// The region that answers there.
    pub region: String,
    /// Its addresses; left out, those of the region.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// The start of authority; the serial number is made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SoaFile {
    /// Mail address of who is responsible, with a dot for the `@`.
    pub mailbox: String,
    /// Times for secondary servers, of which there are none.
    pub refresh: Duration,
    /// The same.
    pub retry: Duration,
    /// The same.
    pub expire: Duration,
    /// For how long resolvers keep that something does not exist.
    pub negative_ttl: Duration,
}

impl Default for SoaFile {
    fn default() -> Self {
        Self {
            mailbox: "hostmaster".into(),
            refresh: Duration::from_secs(3600),
            retry: Duration::from_secs(900),
            expire: Duration::from_secs(14 * 24 * 3600),
            negative_ttl: Duration::from_secs(60),
        }
    }
}

/// A name that leads each client to its best regions: A and AAAA from `regions[].addresses`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SteeredFile {
    /// The name.
    pub name: String,
    /// For how long resolvers keep an answer, and so send users to a region that has died.
    #[serde(default = "default_steered_ttl")]
    pub ttl: Duration,
    /// How many regions an answer has, best first. More than one helps clients that try the next address, and
    /// sends those that choose at random farther.
    #[serde(default = "default_answers")]
    pub answers: usize,
    /// Protocols for an HTTPS record (RFC 9460), such as `h2`; empty means that there is none.
    #[serde(default)]
    pub alpn: Vec<String>,
}

fn default_steered_ttl() -> Duration {
    Duration::from_secs(30)
}

fn default_answers() -> usize {
    1
}

/// Records of one type at one name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordFile {
    /// The name.
    pub name: String,
    /// A, AAAA, CAA, CNAME, HTTPS, MX, NS (of a zone below), SRV, SVCB or TXT.
    #[serde(rename = "type")]
    pub rtype: String,
    /// For how long resolvers keep them; left out, the zone's `ttl`.
    #[serde(default)]
    pub ttl: Option<Duration>,
    /// Their data as in a zone file.
    pub values: Vec<String>,
}
