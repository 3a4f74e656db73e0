//! What a client is told when it gets no object: one table.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::cache::key::KeyError;
use crate::origin::OriginError;
use crate::request_path::write::WriteError;
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
    /// The request has been here before, RFC 8586.
    #[error("the request has passed this cache before")]
    Loop,
    /// Another cache knows of purges that have not arrived here.
    #[error("purges are on their way here; ask the origin")]
    PurgesMissing,
    /// No mount has the path.
    #[error("no origin is mounted at this path")]
    NoMount,
    /// The origin has no such object.
    #[error("there is no such object")]
    NotFound,
    /// The request wants a stored response, and there is none that may be used (RFC 9111 section 5.2.1.7).
    #[error("nothing is stored that this request may be answered with")]
    NotCached,
    /// The origin failed. What it said is in the log.
    #[error("the origin of this object cannot be used at the moment")]
    Origin(#[source] Arc<OriginError>),
    /// A write that did not happen.
    #[error(transparent)]
    Write(Arc<WriteError>),
}

impl Error {
    /// How long the client had better wait before it asks again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Origin(error) => error.retry_after(),
            Self::Write(error) => error.retry_after(),
            _ => None,
        }
    }

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
            Self::Loop => (
                StatusCode::LOOP_DETECTED,
                "loop",
                Some("proxy_loop_detected"),
            ),
            Self::PurgesMissing => (StatusCode::SERVICE_UNAVAILABLE, "purges_missing", None),
            Self::NoMount => (StatusCode::NOT_FOUND, "no_mount", None),
            Self::NotCached => (StatusCode::GATEWAY_TIMEOUT, "not_cached", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "no_such_object", None),
            Self::Origin(error) => {
                let (status, reason, proxy_error) = error.verdict();
                (status, reason, Some(proxy_error))
            }
            Self::Write(error) => error.verdict(),
        }
    }
}
