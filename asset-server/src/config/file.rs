//! The configuration as an operator writes it. [`super::Config`] is what it means.

use std::path::{Path, PathBuf};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::units::{ByteSize, Duration};

pub use super::archive::ArchiveFile;
use super::delivery::{CompressFile, CorsFile, Delivery, SigningFile, SiteFile};
use super::http_semantics::{KeyFile, Methods, RequestDirectiveUse, SetCookie, header_name};
use super::writes::WritesFile;
use super::{
    Addressing, Config, Credentials, Disk, Memory, Mount, Origin, OriginLimits, PurgeFile, S3,
    Shield, Slicing,
};

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
    /// How large objects are fetched and kept.
    pub slices: SlicesFile,
    /// How purges reach the other instances.
    pub purge: PurgeFile,
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
            slices: SlicesFile::default(),
            purge: PurgeFile::default(),
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
    /// Asked in this order for what the origin does not have, or while it fails: a second bucket, an
    /// archive.
    #[serde(default)]
    pub fallbacks: Vec<OriginFile>,
    /// Copy an object that only a fallback has back to the origin, which must be S3. Needs a key that
    /// may write.
    #[serde(default)]
    pub restore: bool,
    /// Where `asset-server archive` moves old objects.
    #[serde(default)]
    pub archive: Option<ArchiveFile>,
    /// The region that is asked before the origin. Left out, or our own: the origin is asked.
    #[serde(default)]
    pub shield: Option<ShieldFile>,
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
    /// How long past its freshness an object is served while it is revalidated in the background
    /// (RFC 5861 section 3), when the object itself does not say.
    #[serde(default = "stale_while_revalidate")]
    pub stale_while_revalidate: Duration,
    /// What of a request the cache key is made of, besides the path.
    #[serde(default)]
    pub key: KeyFile,
    /// What becomes of methods other than GET and HEAD: `refuse`, or `forward` to an HTTP origin.
    #[serde(default)]
    pub methods: Methods,
    /// Who has a token may write objects through the edge: PUT, POST of a form, DELETE. Left out: nobody.
    /// Not for HTTP origins.
    #[serde(default)]
    pub writes: Option<WritesFile>,
    /// Response fields that go before `Cache-Control` and `Expires`, the first first (RFC 9213).
    #[serde(default = "targeted_fields")]
    pub targeted_fields: Vec<String>,
    /// Whether a response that sets a cookie is stored if it states its freshness: `store` or `refuse`.
    #[serde(default)]
    pub set_cookie: SetCookie,
    /// Whether the `Cache-Control` of requests is obeyed: `obey` or `ignore`.
    #[serde(default)]
    pub request_directives: RequestDirectiveUse,
    /// Whether large objects are fetched and kept in slices. By default those of a store of objects are,
    /// and those of an HTTP origin are not, since not every HTTP server has ranges.
    #[serde(default)]
    pub slices: Option<bool>,
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
    /// Text and the like is coded for clients that take it. Not by default: an HTTP origin may do so
    /// itself, and a bucket may hold what `precompressed` finds.
    #[serde(default)]
    pub compress: Option<CompressFile>,
    /// Objects that are compressed already lie beside the plain ones: `app.js.br`, `.zst`, `.gz`. Not for
    /// an HTTP origin.
    #[serde(default)]
    pub precompressed: bool,
    /// Clients that ask for it (RFC 9530) are given the SHA-256 of what they get.
    #[serde(default)]
    pub digests: bool,
}

fn stale_while_revalidate() -> Duration {
    Duration::from_secs(0)
}

fn targeted_fields() -> Vec<String> {
    vec!["CDN-Cache-Control".into()]
}

/// Another region's asset servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShieldFile {
    /// URL of its asset servers, over a private network: `http://asset.nyc3.internal:8080/`. The path is
    /// the one that was asked for here.
    pub url: String,
    /// Its region. All regions may have the same file: in this one the shield is left out.
    pub region: String,
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
    /// Requests in flight to one store, at most; more wait for at most `first_byte_timeout`. A store is
    /// a bucket at an endpoint, a server, or a directory; mounts of the same store share its limits.
    pub max_concurrency: u32,
    /// Requests in flight that a store is given however badly it does.
    pub min_concurrency: u32,
    /// Requests a second to one store; more wait for at most `first_byte_timeout`. 0 is no limit.
    /// Directories are not counted.
    pub requests_per_second: u32,
    /// Requests that may leave at once after quiet.
    pub burst: u32,
    /// Tries of a request whose answer has not begun.
    pub attempts: u32,
    /// Share of requests that may be sent again, in percent; one retry a second is always free.
    pub retry_percent: u32,
    /// Failures in a row after which a store is left alone for a second or more. 0 is never.
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

impl Default for OriginLimitsFile {
    fn default() -> Self {
        Self {
            max_concurrency: 128,
            min_concurrency: 4,
            requests_per_second: 450,
            burst: 450,
            attempts: 3,
            retry_percent: 20,
            breaker_failures: 5,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(30),
            check_interval: Duration::from_secs(5),
        }
    }
}

/// How large objects are fetched and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlicesFile {
    /// Bytes of a slice. Objects that are not larger are fetched and kept whole.
    pub size: ByteSize,
    /// Slices that are fetched at once for a client that reads on and on, the one it reads included.
    /// 1 turns reading ahead off.
    pub read_ahead: u32,
}

impl Default for SlicesFile {
    fn default() -> Self {
        Self {
            size: ByteSize::mib(4),
            read_ahead: 12,
        }
    }
}

impl SlicesFile {
    fn resolve(&self) -> Result<Slicing, Invalid> {
        // A slice is checked and read in blocks, and its pieces are cut where they end.
        let block = crate::cache::entry::CHUNK as u64;
        let size = self.size.get();
        if size < block || !size.is_multiple_of(block) || size > (1 << 30) {
            return Err(Invalid::new(
                "size",
                "must be a multiple of 256KiB, up to 1GiB",
            ));
        }
        if !(1..=64).contains(&self.read_ahead) {
            return Err(Invalid::new("read_ahead", "must be between 1 and 64"));
        }
        Ok(Slicing {
            size,
            read_ahead: self.read_ahead as usize,
        })
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
                .resolve(directory, &self.region)
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
            slices: self.slices.resolve().map_err(|e| e.within("slices"))?,
            purge: self
                .purge
                .resolve(directory)
                .map_err(|e| e.within("purge"))?,
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
    fn resolve(self, directory: &Path, own_region: &str) -> Result<Mount, Invalid> {
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
        let origin = self
            .origin
            .resolve(directory)
            .map_err(|e| e.within("origin"))?;
        let mut fallbacks = Vec::with_capacity(self.fallbacks.len());
        for (i, fallback) in self.fallbacks.into_iter().enumerate() {
            let fallback = fallback.resolve(directory);
            fallbacks.push(fallback.map_err(|e| e.within(format!("fallbacks[{i}]")))?);
        }
        if self.restore
            && ((fallbacks.is_empty() && self.archive.is_none())
                || !matches!(origin, Origin::S3(_)))
        {
            return Err(Invalid::new(
                "restore",
                "needs an S3 origin, and fallbacks or an archive to restore from",
            ));
        }
        let archive = self
            .archive
            .map(|archive| archive.resolve(directory, &origin))
            .transpose()
            .map_err(|e| e.within("archive"))?;
        let shield = match self.shield {
            Some(shield) if shield.region != own_region => {
                web_url("shield.url", &shield.url)?;
                Some(Shield { url: shield.url })
            }
            _ => None,
        };
        // What has been archived is still read, after everything else.
        fallbacks.extend(archive.clone());
        let is_http = matches!(origin, Origin::Http { .. });
        if self.methods == Methods::Forward && !is_http {
            let reason = "can be forward only with an http origin";
            return Err(Invalid::new("methods", reason));
        }
        if self.precompressed && is_http {
            let reason = "can be true only with an origin that has objects, not an http one";
            return Err(Invalid::new("precompressed", reason));
        }
        let writes = match self.writes {
            Some(_) if is_http => {
                let reason =
                    "need an s3 or directory origin; an http origin takes methods: forward";
                return Err(Invalid::new("writes", reason));
            }
            Some(writes) => Some(writes.resolve(directory).map_err(|e| e.within("writes"))?),
            None => None,
        };
        let mut targeted_fields = Vec::with_capacity(self.targeted_fields.len());
        for (i, name) in self.targeted_fields.iter().enumerate() {
            targeted_fields.push(header_name(&format!("targeted_fields[{i}]"), name)?);
        }
        Ok(Mount {
            path: self.path,
            origin,
            fallbacks,
            restore: self.restore,
            archive,
            shield,
            default_ttl: self.default_ttl.get(),
            negative_ttl: self.negative_ttl.get(),
            stale_while_revalidate: self.stale_while_revalidate.get(),
            stale_if_error: self.stale_if_error.get(),
            key: self.key.resolve(is_http).map_err(|e| e.within("key"))?,
            methods: self.methods,
            writes,
            targeted_fields,
            set_cookie: self.set_cookie,
            request_directives: self.request_directives,
            slices: self.slices.unwrap_or(!is_http),
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
                compress: match self.compress {
                    Some(compress) => Some(compress.resolve().map_err(|e| e.within("compress"))?),
                    None => None,
                },
                precompressed: self.precompressed,
                digests: self.digests,
            },
        })
    }
}

impl OriginFile {
    fn resolve(self, directory: &Path) -> Result<Origin, Invalid> {
        Ok(match self {
            Self::S3(s3) => Origin::S3(s3.resolve(directory).map_err(|e| e.within("s3"))?),
            Self::Http(http) => {
                let mut url = http.url;
                if !url.ends_with('/') {
                    url.push('/');
                }
                Origin::Http {
                    url: web_url("http.url", &url)?,
                }
            }
            Self::Directory(local) => Origin::Directory {
                path: directory.join(local.path),
            },
        })
    }
}

impl S3File {
    /// What the file means; relative paths are under `directory`.
    pub fn resolve(self, directory: &Path) -> Result<S3, Invalid> {
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
    /// What the file means.
    pub fn resolve(&self) -> Result<OriginLimits, Invalid> {
        if self.max_concurrency == 0 {
            return Err(Invalid::new("max_concurrency", "must be at least 1"));
        }
        if self.min_concurrency == 0 || self.min_concurrency > self.max_concurrency {
            return Err(Invalid::new(
                "min_concurrency",
                "must be at least 1 and at most max_concurrency",
            ));
        }
        if self.requests_per_second > 1_000_000 {
            return Err(Invalid::new(
                "requests_per_second",
                "must be at most 1000000, or 0 for no limit",
            ));
        }
        if self.burst == 0 {
            return Err(Invalid::new("burst", "must be at least 1"));
        }
        if self.retry_percent > 100 {
            return Err(Invalid::new("retry_percent", "must be at most 100"));
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
            min_concurrency: self.min_concurrency as usize,
            requests_per_second: self.requests_per_second,
            burst: self.burst,
            attempts: self.attempts,
            retry_percent: self.retry_percent,
            breaker_failures: self.breaker_failures,
            connect_timeout: self.connect_timeout.get(),
            first_byte_timeout: self.first_byte_timeout.get(),
            idle_timeout: self.idle_timeout.get(),
            check_interval: self.check_interval.get(),
        })
    }
}

pub(super) fn web_url(key: &str, text: &str) -> Result<Uri, Invalid> {
    let wrong = || Invalid::new(key, format!("{text:?} is not an http or https URL"));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.authority(), uri.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(uri),
        _ => Err(wrong()),
    }
}
