//! What a signature permits, and the bytes that are signed for it.

use ipnet::IpNet;

use crate::cache::key;

/// First line of what is signed. Another layout gets another name, so that no signature is ever valid
/// for two meanings.
const VERSION: &str = "edge1";

/// What a signed URL permits: to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Which paths.
    pub scope: Scope,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// For clients of this network alone.
    pub client: Option<IpNet>,
}

/// Which paths a signature covers, in the cache's spelling: decoded, without dot or empty segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This one.
    Path(String),
    /// Everything below this one, which ends with a slash, so that `/assets/team/` never covers
    /// `/assets/team-b/`.
    Prefix(String),
}

/// A path that no scope can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusablePath {
    /// No request would ever have this path.
    #[error(transparent)]
    Key(#[from] key::KeyError),
    /// A prefix must end where a segment does.
    #[error("a prefix starts and ends with a slash")]
    Prefix,
}

impl Scope {
    /// The scope of one path, as it stands in a URL. A path that ends with a slash names a directory's
    /// index.
    pub fn path(path: &str) -> Result<Self, UnusablePath> {
        normal(path).map(Self::Path)
    }

    /// The scope of everything below a path, as it stands in a URL.
    pub fn prefix(path: &str) -> Result<Self, UnusablePath> {
        if !path.starts_with('/') || !path.ends_with('/') {
            return Err(UnusablePath::Prefix);
        }
        normal(path).map(Self::Prefix)
    }

    /// Whether the path of a request is one of them.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Path(own) => own == path,
            Self::Prefix(prefix) => prefix.ends_with('/') && path.starts_with(prefix.as_str()),
        }
    }

    /// The path or the prefix.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Path(path) | Self::Prefix(path) => path,
        }
    }
}

/// The cache's spelling, of directories too.
fn normal(path: &str) -> Result<String, UnusablePath> {
    if !path.ends_with('/') {
        return Ok(key::normalize(path)?.into_owned());
    }
    let mut below = key::normalize(&format!("{path}-"))?.into_owned();
    below.truncate(below.len() - 1);
    Ok(below)
}

impl Permit {
    /// The bytes that are signed: one line for each field, every field always there. No field can hold a
    /// line feed (paths and ids with control characters are refused on both ends), so no two permits have
    /// the same bytes.
    pub(super) fn message(&self, key: &str) -> Vec<u8> {
        let kind = match self.scope {
            Scope::Path(_) => "path",
            Scope::Prefix(_) => "prefix",
        };
        let client = self
            .client
            .map_or_else(String::new, |net| net.trunc().to_string());
        let (expires, path) = (self.expires, self.scope.as_str());
        format!("{VERSION}\nread\n{key}\n{expires}\n{kind}\n{path}\n{client}\n").into_bytes()
    }
}
