//! Where objects are authoritative. One trait, three kinds, and the care that all of them get.
//!
//! A request meets `failover` (which origin?), `guarded` (again, if it failed?) and `guard` (may
//! it leave now?), which asks `breaker`, `slots` with `concurrency`, and `rate`; then the
//! origin: `s3`, `http_server` or `directory`.

mod breaker;
mod concurrency;
pub(crate) mod directory;
mod error;
mod failover;
mod guard;
mod guarded;
mod health;
pub(crate) mod http_server;
mod rate;
mod restore;
mod retry;
mod s3;
mod shield;
mod slots;
mod stores;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;

pub use error::{OriginError, Source};
pub(crate) use failover::Failover;
pub(crate) use guarded::GuardedOrigin;
pub use health::OriginStatus;
pub use retry::retry_after;
use retry::retry_after_of;
pub(crate) use s3::SmallObjects;
pub(crate) use shield::Hop;
pub(crate) use stores::Stores;

use crate::config;

/// One question to an origin.
#[derive(Clone, Debug)]
pub struct OriginRequest {
    /// Key of the object, decoded, relative to the mount.
    pub key: String,
    /// What an HTTP origin is asked with besides; stores of objects have no use for it.
    pub asked: Arc<Asked>,
    /// Whether the body is wanted.
    pub want: Want,
    /// Answer "not modified" if this still describes the object.
    pub unless: Option<Validator>,
    /// Answer only with this version: a strong entity tag.
    pub only_if: Option<HeaderValue>,
}

/// How much of an object is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The head alone.
    Head,
    /// All of it.
    Body,
    /// These bytes.
    Range(std::ops::Range<u64>),
}

/// What a client's request adds to the question, for origins that answer requests.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The query, as it was written.
    pub query: Option<String>,
    /// End-to-end headers of the request, without preconditions.
    pub headers: HeaderMap,
}

/// What a stored object is revalidated by, as it was received. An HTTP origin gets both (RFC 9111 section
/// 4.3.1); a store gets one, since some are confused by two, or by a weak tag.
#[derive(Clone, Debug)]
pub struct Validator {
    /// The entity tag.
    pub etag: Option<HeaderValue>,
    /// The `Last-Modified` date.
    pub date: Option<HeaderValue>,
}

impl Validator {
    /// The strong tag, if it has one.
    pub fn strong_etag(&self) -> Option<&HeaderValue> {
        let etag = self.etag.as_ref();
        etag.filter(|etag| etag.as_bytes().starts_with(b"\""))
    }
}

/// An origin's usable answers.
pub enum OriginAnswer {
    /// The object, or the range of it, or whatever else an HTTP origin responds.
    Found(OriginObject),
    /// It is as the validator says. The headers may be empty.
    NotModified(HeaderMap),
    /// There is no such object.
    NotFound,
}

/// An object as it comes from its origin.
pub struct OriginObject {
    /// 200 for an object, 206 for a range of one; anything from an HTTP origin.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes that the body will have, if the origin says.
    pub length: Option<u64>,
    /// The body; empty for [`Want::Head`].
    pub body: OriginBody,
}

/// A body on its way from an origin.
pub type OriginBody = Pin<Box<dyn Stream<Item = Result<Bytes, OriginError>> + Send>>;

/// A request that is passed on as it is.
pub struct Forward {
    /// Its method.
    pub method: Method,
    /// Key of the resource, decoded, relative to the mount.
    pub key: String,
    /// Query and end-to-end headers.
    pub asked: Asked,
    /// Its body.
    pub body: RequestBody,
}

/// A body on its way to an origin.
pub type RequestBody = UnsyncBoxBody<Bytes, Source>;

/// Something that has objects.
pub trait Origin: Send + Sync + 'static {
    /// Asks for one object. The future ends when the head of the answer is there.
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>>;

    /// Passes on a request of another method. Only an HTTP origin can.
    fn forward(&self, request: Forward) -> BoxFuture<'_, Result<OriginObject, OriginError>> {
        drop(request);
        Box::pin(std::future::ready(Err(OriginError::Malformed(
            "requests cannot be passed on to this kind of origin",
        ))))
    }

    /// Whether the origin as a whole is usable; as cheap as it can be.
    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>>;
}

/// The origin that a configuration describes.
pub(crate) fn connect(
    origin: &config::Origin,
    limits: &config::OriginLimits,
) -> Result<Box<dyn Origin>, ConnectError> {
    Ok(match origin {
        config::Origin::S3(s3) => Box::new(s3::S3Origin::new(s3, limits)?),
        config::Origin::Http { url } => Box::new(http_server::HttpOrigin::new(url, limits)?),
        config::Origin::Directory { path } => {
            Box::new(directory::DirectoryOrigin::new(path.clone()))
        }
    })
}

/// An origin with a shield in front. `path` is the mount's, alike in all regions.
pub(crate) fn connect_shielded(
    shield: &config::Shield,
    path: &str,
    origin: Box<dyn Origin>,
    hop: Hop,
    is_http: bool,
    limits: &config::OriginLimits,
) -> Result<Box<dyn Origin>, ConnectError> {
    let base = format!("{}{path}", shield.url.trim_end_matches('/'));
    Ok(Box::new(shield::ShieldedOrigin {
        shield: http_server::HttpOrigin::at(base, limits)?,
        origin,
        hop,
        limit: limits.first_byte_timeout / 2,
        absence: shield::Absence::new(),
        is_http,
    }))
}

/// Why an origin cannot even be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its credentials cannot be had.
    #[error("no credentials: {0}")]
    Credentials(String),
    /// The system's certificate authorities cannot be loaded.
    #[error("cannot load the system's certificate authorities")]
    Roots(#[source] std::io::Error),
}

/// An empty body.
pub(crate) fn no_body() -> OriginBody {
    Box::pin(futures_util::stream::empty())
}
