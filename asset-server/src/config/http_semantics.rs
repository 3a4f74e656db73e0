//! The part of a mount's configuration that is about HTTP: what a cache key is made of, which methods
//! pass, whose directives count.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;

/// What becomes of methods other than GET and HEAD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Methods {
    /// They are refused with 405.
    #[default]
    Refuse,
    /// They go to the HTTP origin, and what they change is invalidated (RFC 9111 section 4.4).
    Forward,
}

/// Whether a response that sets a cookie is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// If it states how long it is fresh: the origin has thought about it (RFC 9111 section 7.3).
    #[default]
    Store,
    /// Never.
    Refuse,
}

/// Whether the `Cache-Control` of requests is obeyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestDirectiveUse {
    /// It is (RFC 9111 section 5.2.1).
    #[default]
    Obey,
    /// It is not: clients cannot make the cache ask the origin.
    Ignore,
}

/// What of a request the cache key is made of, as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyFile {
    /// `ignore`, `all`, or the list of parameters that count. By default all of them for an HTTP origin,
    /// and none for a store of objects. What does not count is not sent on either.
    pub query: Option<QueryFile>,
    /// Request headers whose values count, such as the one that names the tenant.
    pub headers: Vec<String>,
    /// Whether the host counts.
    pub host: bool,
    /// Whether it counts if the request came over TLS (by `X-Forwarded-Proto`).
    pub scheme: bool,
}

/// Which query parameters count, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum QueryFile {
    /// `ignore` or `all`.
    Word(QueryWord),
    /// These.
    Listed(Vec<String>),
}

/// All parameters or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryWord {
    /// The query is no part of the key.
    Ignore,
    /// All of it is.
    All,
}

/// What of a request the cache key is made of, besides the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Which query parameters count.
    pub query: Query,
    /// Request headers whose values count.
    pub headers: Vec<HeaderName>,
    /// Whether the host counts.
    pub host: bool,
    /// Whether it counts if the request came over TLS.
    pub scheme: bool,
}

/// Which query parameters count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// None.
    Ignore,
    /// All, in the order in which they come.
    All,
    /// These, in this order.
    Listed(Vec<String>),
}

impl KeyPolicy {
    /// The default for a kind of origin: one that answers requests may answer each query differently.
    pub fn of_kind(is_http: bool) -> Self {
        Self {
            query: if is_http { Query::All } else { Query::Ignore },
            headers: Vec::new(),
            host: false,
            scheme: false,
        }
    }

    /// Whether the path alone is the key.
    pub fn is_path_alone(&self) -> bool {
        self.query == Query::Ignore && self.headers.is_empty() && !self.host && !self.scheme
    }
}

impl KeyFile {
    pub(super) fn resolve(self, is_http: bool) -> Result<KeyPolicy, Invalid> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (i, name) in self.headers.iter().enumerate() {
            headers.push(header_name(&format!("headers[{i}]"), name)?);
        }
        let query = match self.query {
            None => KeyPolicy::of_kind(is_http).query,
            Some(QueryFile::Word(QueryWord::Ignore)) => Query::Ignore,
            Some(QueryFile::Word(QueryWord::All)) => Query::All,
            Some(QueryFile::Listed(names)) => Query::Listed(names),
        };
        Ok(KeyPolicy {
            query,
            headers,
            host: self.host,
            scheme: self.scheme,
        })
    }
}

/// A header's name, or a message that says where it stands.
pub(super) fn header_name(key: &str, name: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Invalid::new(key, format!("{name:?} is not the name of a header")))
}
