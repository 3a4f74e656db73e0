//! How assets are delivered, as an operator writes it: signing keys, private mounts, sites, CORS.

use std::ops::RangeInclusive;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::secret::SecretSource;
use serving::units::{ByteSize, Duration};

use crate::cache::key;
use crate::respond::coding::Coding;
use crate::respond::cors;
use crate::signed_url::{Keys, SigningKey};
use crate::site::Site;

/// What a mount does besides caching. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Only who has a signed URL may read.
    pub private: bool,
    /// The bucket holds a site.
    pub site: Option<Site>,
    /// Pages of other origins may read.
    pub cors: Option<cors::Policy>,
    /// `?download` makes a browser save instead of show.
    pub download: bool,
    /// What compresses is coded for clients that take it.
    pub compress: Option<Compression>,
    /// Objects that are compressed already lie beside the plain ones: `app.js.br`.
    pub precompressed: bool,
    /// Clients that ask for digests of what they get (RFC 9530) are told.
    pub digests: bool,
}

impl Delivery {
    /// Whether what is stored may go out in another form, or with more said about it.
    pub fn has_forms(&self) -> bool {
        self.compress.is_some() || self.precompressed || self.digests
    }
}

/// Which objects are coded on the fly, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// What is made, the first of those that a client likes equally well.
    pub codings: Vec<Coding>,
    /// Bytes of an object that is worth it.
    pub lengths: RangeInclusive<u64>,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.into(),
            lengths: 1 << 10..=16 << 20,
        }
    }
}

/// Coding on the fly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressFile {
    /// What is made: `zstd`, `br`, `gzip`. Of those that a client likes equally well it gets the first.
    pub codings: Vec<Coding>,
    /// Smaller objects go out as they are.
    pub min_size: ByteSize,
    /// Larger objects go out as they are, and so does what `memory.max_object` keeps out of memory.
    pub max_size: ByteSize,
}

impl Default for CompressFile {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.into(),
            min_size: ByteSize::kib(1),
            max_size: ByteSize::mib(16),
        }
    }
}

impl CompressFile {
    pub(super) fn resolve(self) -> Result<Compression, Invalid> {
        if self.codings.is_empty() {
            return Err(Invalid::new("codings", "at least one is needed"));
        }
        for (i, coding) in self.codings.iter().enumerate() {
            if self.codings[..i].contains(coding) {
                let reason = format!("{:?} is listed twice", coding.as_str());
                return Err(Invalid::new(format!("codings[{i}]"), reason));
            }
        }
        if self.min_size.get() > self.max_size.get() {
            let reason = "must be at least min_size";
            return Err(Invalid::new("max_size", reason));
        }
        Ok(Compression {
            codings: self.codings,
            lengths: self.min_size.get()..=self.max_size.get(),
        })
    }
}

/// The keys that URLs of private mounts are signed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningFile {
    /// All that are in use. To replace one, add the new, sign with it, and remove the old when the last
    /// URL that it signed has expired.
    pub keys: Vec<SigningKeyFile>,
    /// For how long after its expiry a URL is taken, since clocks differ.
    #[serde(default = "clock_skew")]
    pub clock_skew: Duration,
}

fn clock_skew() -> Duration {
    Duration::from_secs(5)
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyFile {
    /// What URLs name it by: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// Where the secret is kept, of at least 32 bytes.
    pub secret: SecretSource,
}

impl SigningFile {
    pub(super) fn resolve(self, directory: &Path) -> Result<Keys, Invalid> {
        if self.keys.is_empty() {
            return Err(Invalid::new("keys", "at least one key is needed"));
        }
        let mut keys: Vec<SigningKey> = Vec::with_capacity(self.keys.len());
        for (i, key) in self.keys.into_iter().enumerate() {
            let wrong =
                |field: &str, reason: String| Invalid::new(format!("keys[{i}].{field}"), reason);
            if keys.iter().any(|other| other.id() == key.id) {
                return Err(wrong("id", format!("{:?} is listed twice", key.id)));
            }
            let secret = key
                .secret
                .load(directory)
                .map_err(|e| wrong("secret", e.to_string()))?;
            let signing = SigningKey::new(&key.id, &secret).map_err(|error| {
                let field = match error {
                    crate::signed_url::UnusableKey::Id => "id",
                    crate::signed_url::UnusableKey::Short => "secret",
                };
                wrong(field, error.to_string())
            })?;
            keys.push(signing);
        }
        Ok(Keys::new(keys, self.clock_skew.get()))
    }
}

/// A bucket that holds a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SiteFile {
    /// Object that stands for a directory: `/docs/` is answered with `/docs/index.html`.
    pub index: String,
    /// Object that is sent with 404 for what is not there.
    pub not_found: Option<String>,
    /// Object that is sent with 200 to a browser that navigates to what is not there, for apps with routes
    /// of their own.
    pub single_page: Option<String>,
}

impl Default for SiteFile {
    fn default() -> Self {
        Self {
            index: "index.html".into(),
            not_found: None,
            single_page: None,
        }
    }
}

impl SiteFile {
    pub(super) fn resolve(self) -> Result<Site, Invalid> {
        let name = |key: &str, name: &str| match key::normalize(&format!("/{name}")) {
            Ok(normal) if normal.strip_prefix('/') == Some(name) => Ok(()),
            _ => Err(Invalid::new(
                key,
                format!("{name:?} is no key below the mount, such as index.html"),
            )),
        };
        name("index", &self.index)?;
        if self.index.contains('/') {
            return Err(Invalid::new("index", "must be a name without a slash"));
        }
        for (key, page) in [
            ("not_found", &self.not_found),
            ("single_page", &self.single_page),
        ] {
            page.as_deref().map_or(Ok(()), |page| name(key, page))?;
        }
        Ok(Site {
            index: self.index,
            not_found: self.not_found,
            single_page: self.single_page,
        })
    }
}

/// What pages of other origins may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsFile {
    /// `*`, `https://app.example.com`, or `https://*.example.com` for all subdomains.
    pub allowed_origins: Vec<String>,
    /// Methods that a preflight may ask for.
    #[serde(default = "allowed_methods")]
    pub allowed_methods: Vec<String>,
    /// Request headers that a preflight may ask for, or `*`, which means all but `Authorization`.
    #[serde(default = "allowed_headers")]
    pub allowed_headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default = "exposed_headers")]
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight.
    #[serde(default = "max_age")]
    pub max_age: Duration,
    /// Whether cookies may come along; not with `*` as origin.
    #[serde(default)]
    pub allow_credentials: bool,
}

fn allowed_methods() -> Vec<String> {
    ["GET", "HEAD"].map(String::from).into()
}

fn allowed_headers() -> Vec<String> {
    [
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "range",
    ]
    .map(String::from)
    .into()
}

fn exposed_headers() -> Vec<String> {
    [
        "accept-ranges",
        "age",
        "cache-status",
        "content-range",
        "etag",
    ]
    .map(String::from)
    .into()
}

fn max_age() -> Duration {
    Duration::from_secs(3600)
}

impl CorsFile {
    pub(super) fn resolve(&self) -> Result<cors::Policy, Invalid> {
        let terms = cors::Terms {
            allowed_origins: &self.allowed_origins,
            allowed_methods: &self.allowed_methods,
            allowed_headers: &self.allowed_headers,
            exposed_headers: &self.exposed_headers,
            max_age: self.max_age.get(),
            allow_credentials: self.allow_credentials,
        };
        cors::Policy::new(&terms).map_err(|error| {
            let key = match error {
                cors::UnusableTerms::Origin(_) => "allowed_origins",
                cors::UnusableTerms::Method(_) => "allowed_methods",
                cors::UnusableTerms::Header(_) => "allowed_headers",
                cors::UnusableTerms::AnyWithCredentials => "allow_credentials",
            };
            Invalid::new(key, error)
        })
    }
}
