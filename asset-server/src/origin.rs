//! Where objects are authoritative. One trait, three kinds, and the care that all of them get.

mod directory;
mod error;
mod guarded;
mod health;
mod http_server;
mod s3;
mod shield;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};

pub use error::{OriginError, Source};
pub(crate) use guarded::GuardedOrigin;
pub use health::OriginStatus;
pub(crate) use s3::SmallObjects;
pub(crate) use shield::Hop;

use crate::config;

/// One question to an origin.
#[derive(Clone, Debug)]
pub struct OriginRequest {
    /// Key of the object, decoded, relative to the mount.
    pub key: String,
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

/// What a stored object is revalidated by. One only: some stores answer a list with 200.
#[derive(Clone, Debug)]
pub enum Validator {
    /// A strong entity tag.
    ETag(HeaderValue),
    /// A `Last-Modified` date, as it was received.
    Date(HeaderValue),
}

/// An origin's usable answers.
pub enum OriginAnswer {
    /// The object, or the range of it.
    Found(OriginObject),
    /// It is as the validator says. The headers may be empty.
    NotModified(HeaderMap),
    /// There is no such object.
    NotFound,
}

/// An object as it comes from its origin.
pub struct OriginObject {
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes that the body will have, if the origin says.
    pub length: Option<u64>,
    /// The body; empty for [`Want::Head`].
    pub body: OriginBody,
}

/// A body on its way from an origin.
pub type OriginBody = Pin<Box<dyn Stream<Item = Result<Bytes, OriginError>> + Send>>;

/// Something that has objects.
pub trait Origin: Send + Sync + 'static {
    /// Asks for one object. The future ends when the head of the answer is there.
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>>;

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
    limits: &config::OriginLimits,
) -> Result<Box<dyn Origin>, ConnectError> {
    let base = format!("{}{path}", shield.url.trim_end_matches('/'));
    Ok(Box::new(shield::ShieldedOrigin {
        shield: http_server::HttpOrigin::at(base, limits)?,
        origin,
        hop,
        limit: limits.first_byte_timeout / 2,
        absence: shield::Absence::new(),
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
