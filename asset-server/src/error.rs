//! What a client is told when it gets no object: one table.

use std::sync::Arc;

use http::StatusCode;

use crate::cache::key::KeyError;
use crate::origin::OriginError;
use crate::signed_url::Refusal;

/// Why a request gets no object.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Neither GET nor HEAD.
    #[error("only GET and HEAD are served here")]
    Method,
    /// The mount is private, and the request has no right to it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The path names no object.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No mount has the path.
    #[error("no origin is mounted at this path")]
    NoMount,
    /// The origin has no such object.
    #[error("there is no such object")]
    NotFound,
    /// The origin failed. What it said is in the log.
    #[error("the origin of this object cannot be used at the moment")]
    Origin(#[source] Arc<OriginError>),
}

impl Error {
    /// Status for the client, reason for logs, metrics and the answer, and the error type of
    /// `Proxy-Status` (RFC 9209 section 2.3) where the fault is not the client's.
    pub fn verdict(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", None),
            // RFC 9110 section 15.5.2: 401 where credentials are missing, 403 where these will not do.
            Self::Refused(Refusal::Missing) => {
                (StatusCode::UNAUTHORIZED, Refusal::Missing.reason(), None)
            }
            Self::Refused(refusal) => (StatusCode::FORBIDDEN, refusal.reason(), None),
            Self::Key(error) if error.is_not_found() => {
                (StatusCode::NOT_FOUND, error.reason(), None)
            }
            Self::Key(error) => (StatusCode::BAD_REQUEST, error.reason(), None),
            Self::NoMount => (StatusCode::NOT_FOUND, "no_mount", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "no_such_object", None),
            Self::Origin(error) => {
                let (status, reason, proxy_error) = error.verdict();
                (status, reason, Some(proxy_error))
            }
        }
    }
}
