//! The configuration as an operator writes it. [`super::Config`] is what it means.

use std::path::{Path, PathBuf};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::units::{ByteSize, Duration};

use super::delivery::{CorsFile, Delivery, SigningFile, SiteFile};
use super::{Addressing, Config, Credentials, Disk, Memory, Mount, Origin, OriginLimits, S3};

/// The asset part of a configuration file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Name of this region; `asset-<region>` identifies the cache in `Cache-Status`.
    pub region: String,
    /// What is served, and from where. The longest path that matches wins.
    pub mounts: Vec<MountFile>,
    /// The memory tier.
    pub memory: MemoryFile,
    /// The disk tier. Without it, objects above `memory.max_object` are passed through, not cached.
    pub disk: Option<DiskFile>,
    /// How every origin is asked.
    pub origin: OriginLimitsFile,
    /// The keys that URLs of private mounts are signed with.
    pub signing: Option<SigningFile>,
}

impl Default for ConfigFile {
    fn default() -> Self {
        Self {
            region: "local".into(),
            mounts: Vec::new(),
            memory: MemoryFile::default(),
            disk: None,
            origin: OriginLimitsFile::default(),
            signing: None,
        }
    }
}

/// One URL prefix and the origin behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountFile {
    /// URL path prefix, with a slash at both ends: `/assets/`.
    pub path: String,
    /// Where the objects are authoritative.
    pub origin: OriginFile,
    /// How long an object is fresh when its origin does not say.
    #[serde(default = "default_ttl")]
    pub default_ttl: Duration,
    /// How long "no such object" is remembered. `0s` turns that off.
    #[serde(default = "negative_ttl")]
    pub negative_ttl: Duration,
    /// How long past its freshness an object may be served while the origin fails (RFC 5861
    /// section 4), when the object itself does not say.
    #[serde(default = "stale_if_error")]
    pub stale_if_error: Duration,
    /// Only who has a URL signed with one of `signing.keys` may read.
    #[serde(default)]
    pub private: bool,
    /// The bucket holds a site: index of a directory, page for 404, app with routes of its own.
    #[serde(default)]
    pub site: Option<SiteFile>,
    /// Pages of other origins may read.
    #[serde(default)]
    pub cors: Option<CorsFile>,
    /// `?download` makes a browser save the object instead of showing it.
    #[serde(default)]
    pub download: bool,
}

fn default_ttl() -> Duration {
    Duration::from_secs(3600)
}

fn negative_ttl() -> Duration {
    Duration::from_secs(5)
}

fn stale_if_error() -> Duration {
    Duration::from_secs(24 * 3600)
}

/// One origin, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum OriginFile {
    /// An S3-compatible object store, such as Spaces.
    S3(S3File),
    /// An HTTP server.
    Http(HttpFile),
    /// A local directory, for development and mounted archives.
    Directory(DirectoryFile),
}

/// An S3-compatible object store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3File {
    /// URL of the service, without the bucket: `https://ams3.digitaloceanspaces.com`.
    pub endpoint: String,
    /// Region name that requests are signed for.
    #[serde(default = "s3_region")]
    pub region: String,
    /// Bucket name.
    pub bucket: String,
    /// Put before every key: `web/` makes `/assets/logo.svg` the object `web/logo.svg`.
    #[serde(default)]
    pub prefix: String,
    /// Whether the bucket's name goes into the path or the host name.
    #[serde(default)]
    pub addressing: Addressing,
    /// Where the access key comes from.
    pub credentials: CredentialsFile,
}

fn s3_region() -> String {
    "us-east-1".into()
}

/// Where an access key comes from; it never stands in the configuration itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CredentialsFile {
    /// A file with the lines `aws_access_key_id = …` and `aws_secret_access_key = …`.
    File(PathBuf),
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// Requests are not signed: a public bucket.
    Anonymous,
}

/// An HTTP origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFile {
    /// URL that keys are appended to: `https://files.example.com/public/`.
    pub url: String,
}

/// A directory as origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFile {
    /// The directory; nothing outside of it is ever served.
    pub path: PathBuf,
}

/// The memory tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryFile {
    /// Bytes for bodies, headers and bookkeeping together.
    pub size: ByteSize,
    /// Larger objects are kept on disk only.
    pub max_object: ByteSize,
}

impl Default for MemoryFile {
    fn default() -> Self {
        Self {
            size: ByteSize::mib(512),
            max_object: ByteSize::mib(64),
        }
    }
}

/// The disk tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskFile {
    /// A directory that belongs to the cache alone. Made if it is missing.
    pub path: PathBuf,
    /// Bytes of files in it, those being written included.
    #[serde(default = "disk_size")]
    pub size: ByteSize,
}

fn disk_size() -> ByteSize {
    ByteSize::gib(10)
}

/// How origins are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OriginLimitsFile {
    /// Requests in flight to one origin; more wait for at most `first_byte_timeout`.
    pub max_concurrency: u32,
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

impl Default for OriginLimitsFile {
    fn default() -> Self {
        Self {
            max_concurrency: 128,
            attempts: 3,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            check_interval: Duration::from_secs(5),
        }
    }
}

impl ConfigFile {
    /// What the file means. Relative paths are looked up under `directory`.
    pub fn resolve(self, directory: &Path) -> Result<Config, Invalid> {
        if self.region.is_empty()
            || !self
                .region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(Invalid::new(
                "region",
                "must be a word of letters, digits, - and _",
            ));
        }
        if self.mounts.is_empty() {
            return Err(Invalid::new("mounts", "at least one mount is needed"));
        }
        let mut mounts: Vec<Mount> = Vec::with_capacity(self.mounts.len());
        for (i, mount) in self.mounts.into_iter().enumerate() {
            let mount = mount
                .resolve(directory)
                .map_err(|e| e.within(format!("mounts[{i}]")))?;
            if mount.delivery.private && self.signing.is_none() {
                return Err(Invalid::new(
                    format!("mounts[{i}].private"),
                    "needs signing.keys, or nobody could read",
                ));
            }
            if mounts.iter().any(|other| other.path == mount.path) {
                let reason = format!("{:?} is mounted twice", mount.path);
                return Err(Invalid::new(format!("mounts[{i}].path"), reason));
            }
            mounts.push(mount);
        }
        if self.memory.max_object > self.memory.size {
            return Err(Invalid::new(
                "memory.max_object",
                "cannot exceed memory.size",
            ));
        }
        Ok(Config {
            region: self.region,
            mounts,
            memory: Memory {
                size: self.memory.size.get(),
                max_object: self.memory.max_object.get(),
            },
            disk: self.disk.map(|disk| Disk {
                path: directory.join(disk.path),
                size: disk.size.get(),
            }),
            origin: self.origin.resolve().map_err(|e| e.within("origin"))?,
            signing: match self.signing {
                Some(signing) => Some(
                    signing
                        .resolve(directory)
                        .map_err(|e| e.within("signing"))?,
                ),
                None => None,
            },
        })
    }
}

impl MountFile {
    fn resolve(self, directory: &Path) -> Result<Mount, Invalid> {
        let ends_right = self.path.starts_with('/') && self.path.ends_with('/');
        let plain = self
            .path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"%\\?#".contains(&b));
        if !ends_right || !plain || self.path.contains("//") || self.path.contains("/.") {
            return Err(Invalid::new(
                "path",
                "must be a plain path with a slash at both ends, such as /assets/",
            ));
        }
        let origin = match self.origin {
            OriginFile::S3(s3) => {
                Origin::S3(s3.resolve(directory).map_err(|e| e.within("origin.s3"))?)
            }
            OriginFile::Http(http) => {
                let mut url = http.url;
                if !url.ends_with('/') {
                    url.push('/');
                }
                Origin::Http {
                    url: web_url("origin.http.url", &url)?,
                }
            }
            OriginFile::Directory(local) => Origin::Directory {
                path: directory.join(local.path),
            },
        };
        Ok(Mount {
            path: self.path,
            origin,
            default_ttl: self.default_ttl.get(),
            negative_ttl: self.negative_ttl.get(),
            stale_if_error: self.stale_if_error.get(),
            delivery: Delivery {
                private: self.private,
                site: match self.site {
                    Some(site) => Some(site.resolve().map_err(|e| e.within("site"))?),
                    None => None,
                },
                cors: match self.cors {
                    Some(cors) => Some(cors.resolve().map_err(|e| e.within("cors"))?),
                    None => None,
                },
                download: self.download,
            },
        })
    }
}

impl S3File {
    fn resolve(self, directory: &Path) -> Result<S3, Invalid> {
        web_url("endpoint", &self.endpoint)?;
        if self.bucket.is_empty() || self.bucket.contains('/') {
            return Err(Invalid::new("bucket", "must be the name of a bucket"));
        }
        if self.prefix.starts_with('/') || self.prefix.split('/').any(|s| s == "." || s == "..") {
            return Err(Invalid::new(
                "prefix",
                "must not start with a slash or contain . or .. segments",
            ));
        }
        Ok(S3 {
            endpoint: self.endpoint,
            region: self.region,
            bucket: self.bucket,
            prefix: self.prefix,
            addressing: self.addressing,
            credentials: match self.credentials {
                CredentialsFile::File(path) => Credentials::File(directory.join(path)),
                CredentialsFile::Environment => Credentials::Environment,
                CredentialsFile::Anonymous => Credentials::Anonymous,
            },
        })
    }
}

impl OriginLimitsFile {
    fn resolve(&self) -> Result<OriginLimits, Invalid> {
        if self.max_concurrency == 0 {
            return Err(Invalid::new("max_concurrency", "must be at least 1"));
        }
        if self.attempts == 0 {
            return Err(Invalid::new("attempts", "must be at least 1"));
        }
        for (key, value) in [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("idle_timeout", self.idle_timeout),
            ("check_interval", self.check_interval),
        ] {
            if value.get().is_zero() {
                return Err(Invalid::new(key, "must be longer than nothing"));
            }
        }
        Ok(OriginLimits {
            max_concurrency: self.max_concurrency as usize,
            attempts: self.attempts,
            connect_timeout: self.connect_timeout.get(),
            first_byte_timeout: self.first_byte_timeout.get(),
            idle_timeout: self.idle_timeout.get(),
            check_interval: self.check_interval.get(),
        })
    }
}

fn web_url(key: &str, text: &str) -> Result<Uri, Invalid> {
    let wrong = || Invalid::new(key, format!("{text:?} is not an http or https URL"));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.authority(), uri.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(uri),
        _ => Err(wrong()),
    }
}
