//! The configuration as the code uses it: complete, checked, in plain types.
//!
//! [`ConfigFile`] is the same thing as an operator writes it, and [`ConfigFile::resolve`] leads from
//! one to the other. A program that embeds the cache may also fill in a [`Config`] itself.

mod delivery;
mod file;
mod standalone;

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::secret::Secret;

use crate::signed_url::Keys;

pub use delivery::{CorsFile, Delivery, SigningFile, SigningKeyFile, SiteFile};

pub use file::{
    ConfigFile, CredentialsFile, DirectoryFile, DiskFile, HttpFile, MemoryFile, MountFile,
    OriginFile, OriginLimitsFile, S3File,
};

pub use standalone::{
    Admin, AdminFile, ListenerConfig, ListenerFile, Standalone, StandaloneFile, standalone_schema,
};

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
    /// The keys that URLs of private mounts are signed with.
    pub signing: Option<Keys>,
}

/// One URL prefix and the origin behind it.
#[derive(Clone, Debug)]
pub struct Mount {
    /// URL path prefix, with a slash at both ends.
    pub path: String,
    /// Where the objects are authoritative.
    pub origin: Origin,
    /// Freshness of an object whose origin states none.
    pub default_ttl: Duration,
    /// How long "no such object" is remembered.
    pub negative_ttl: Duration,
    /// How long past its freshness an object may be served while the origin fails.
    pub stale_if_error: Duration,
    /// What it does besides caching.
    pub delivery: Delivery,
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

/// How origins are asked.
#[derive(Clone, Debug)]
pub struct OriginLimits {
    /// Requests in flight to one origin.
    pub max_concurrency: usize,
    /// Tries of a request whose answer has not begun.
    pub attempts: u32,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// From sending a request to the head of its answer.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
    /// How often an origin is asked whether it is there.
    pub check_interval: Duration,
}
