//! The configuration as the code uses it: complete, checked, in plain types.
//!
//! [`ConfigFile`] is the same thing as an operator writes it, and [`ConfigFile::resolve`] leads from
//! one to the other. A program that embeds the cache may also fill in a [`Config`] itself.

mod archive;
mod delivery;
mod file;
mod http_semantics;
mod purge;
mod standalone;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

pub use crate::cache::slice::Slicing;
use http::{HeaderName, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::secret::Secret;

use crate::signed_url::Keys;

pub use delivery::{
    CompressFile, Compression, CorsFile, Delivery, SigningFile, SigningKeyFile, SiteFile,
};

pub use file::{
    ArchiveFile, ConfigFile, CredentialsFile, DirectoryFile, DiskFile, HttpFile, MemoryFile,
    MountFile, OriginFile, OriginLimitsFile, S3File, ShieldFile, SlicesFile,
};

pub use http_semantics::{
    KeyFile, KeyPolicy, Methods, Query, QueryFile, RequestDirectiveUse, SetCookie,
};

pub use purge::{Peer, PeerFile, PurgeEverywhere, PurgeFile, PurgeLogFile, PurgeLogStore};

pub use standalone::{
    Admin, AdminFile, ListenerConfig, ListenerFile, Standalone, StandaloneFile, standalone_schema,
};

pub use writes::{Writes, WritesFile};

/// Everything an [`AssetServer`](crate::AssetServer) needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this region.
    pub region: String,
    /// What is served, and from where.
    pub mounts: Vec<Mount>,
    /// The memory tier.
    pub memory: Memory,
    /// The disk tier, if there is one.
    pub disk: Option<Disk>,
    /// How every origin is asked.
    pub origin: OriginLimits,
    /// How large objects are sliced.
    pub slices: Slicing,
    /// The keys that URLs of private mounts are signed with.
    pub signing: Option<Keys>,
    /// How purges reach the other instances.
    pub purge: PurgeEverywhere,
}

impl Config {
    /// What the cache is called in `Cache-Status`, `Proxy-Status` and `CDN-Loop`.
    pub fn cache_name(&self) -> String {
        format!("asset-{}", self.region)
    }
}

/// One URL prefix and the origin behind it.
#[derive(Clone, Debug)]
pub struct Mount {
    /// URL path prefix, with a slash at both ends.
    pub path: String,
    /// Where the objects are authoritative.
    pub origin: Origin,
    /// Asked in this order for what the origin does not have, or while it fails.
    pub fallbacks: Vec<Origin>,
    /// Whether an object that only a fallback has is copied back to the origin.
    pub restore: bool,
    /// Where `asset-server archive` moves old objects: a bucket or a directory, never an HTTP server.
    pub archive: Option<Origin>,
    /// The region that is asked before the origin.
    pub shield: Option<Shield>,
    /// Freshness of an object whose origin states none.
    pub default_ttl: Duration,
    /// How long "no such object" is remembered.
    pub negative_ttl: Duration,
    /// How long past its freshness an object is served while it is revalidated.
    pub stale_while_revalidate: Duration,
    /// How long past its freshness an object may be served while the origin fails.
    pub stale_if_error: Duration,
    /// What of a request the cache key is made of.
    pub key: KeyPolicy,
    /// What becomes of methods other than GET and HEAD.
    pub methods: Methods,
    /// Who may write, if anybody may.
    pub writes: Option<Writes>,
    /// Response fields that go before `Cache-Control`, RFC 9213.
    pub targeted_fields: Vec<HeaderName>,
    /// Whether responses that set cookies are stored.
    pub set_cookie: SetCookie,
    /// Whether the directives of requests are obeyed.
    pub request_directives: RequestDirectiveUse,
    /// Whether large objects are fetched and kept in slices.
    pub slices: bool,
    /// What it does besides caching.
    pub delivery: Delivery,
}

impl Mount {
    /// A mount with the defaults of the configuration file.
    pub fn new(path: &str, origin: Origin) -> Self {
        let is_http = matches!(origin, Origin::Http { .. });
        Self {
            path: path.to_owned(),
            origin,
            fallbacks: Vec::new(),
            restore: false,
            archive: None,
            shield: None,
            default_ttl: Duration::from_secs(3600),
            negative_ttl: Duration::from_secs(5),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(24 * 3600),
            key: KeyPolicy::of_kind(is_http),
            methods: Methods::Refuse,
            writes: None,
            targeted_fields: vec![crate::cache::targeted::CDN_CACHE_CONTROL],
            set_cookie: SetCookie::Store,
            request_directives: RequestDirectiveUse::Obey,
            slices: !is_http,
            delivery: Delivery::default(),
        }
    }
}

/// Another region's asset servers, asked before the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shield {
    /// URL that paths are appended to.
    pub url: String,
}

/// An origin, by kind.
#[derive(Clone, Debug)]
pub enum Origin {
    /// An S3-compatible object store.
    S3(S3),
    /// An HTTP server.
    Http {
        /// URL that keys are appended to; its path ends with a slash.
        url: Uri,
    },
    /// A local directory.
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// An S3-compatible object store.
#[derive(Clone, Debug)]
pub struct S3 {
    /// URL of the service, without the bucket.
    pub endpoint: String,
    /// Region name that requests are signed for.
    pub region: String,
    /// Bucket name.
    pub bucket: String,
    /// Put before every key.
    pub prefix: String,
    /// Whether the bucket's name goes into the path or the host name.
    pub addressing: Addressing,
    /// The access key, or where it comes from.
    pub credentials: Credentials,
}

/// Where the bucket's name goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// `https://endpoint/bucket/key`.
    #[default]
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// An access key, or where it comes from.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A file with the lines `aws_access_key_id = …` and `aws_secret_access_key = …`.
    File(PathBuf),
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// Given by the program that embeds the cache.
    Static {
        /// The access key.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
    },
    /// Requests are not signed.
    Anonymous,
}

/// The memory tier.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bytes for bodies, headers and bookkeeping together.
    pub size: u64,
    /// Size in bytes of the largest object kept in memory.
    pub max_object: u64,
}

/// The disk tier.
#[derive(Clone, Debug)]
pub struct Disk {
    /// A directory that belongs to the cache alone.
    pub path: PathBuf,
    /// Bytes of files in it, those being written included.
    pub size: u64,
}

/// How origins are asked. What limits requests holds for a store: mounts of one bucket share it.
#[derive(Clone, Debug)]
pub struct OriginLimits {
    /// Requests in flight to one store, at most.
    pub max_concurrency: usize,
    /// Requests in flight that a struggling store is still given.
    pub min_concurrency: usize,
    /// Requests a second to one store; 0 for any number. Directories are not counted.
    pub requests_per_second: u32,
    /// Requests that may leave at once after quiet.
    pub burst: u32,
    /// Tries of a request whose answer has not begun.
    pub attempts: u32,
    /// Share of requests that may be sent again, in percent.
    pub retry_percent: u32,
    /// Failures in a row after which a store is left alone for a while; 0 for never.
    pub breaker_failures: u32,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// From sending a request to the head of its answer.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
    /// How often an origin is asked whether it is there.
    pub check_interval: Duration,
}
