//! Why an origin gave no answer that can be used, and what the client is told.

use std::time::Duration;

use http::StatusCode;

/// A failure of an origin. Its text is for logs and `/readyz`; clients see [`OriginError::verdict`].
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No connection, or it broke before the answer began.
    #[error("the origin cannot be reached: {0}")]
    Unreachable(Source),
    /// No answer in time.
    #[error("the origin did not answer in time")]
    Timeout,
    /// No turn to ask came in time: too many requests are in flight, or the budget is spent.
    #[error("too many requests to the origin are waiting")]
    Busy {
        /// When there may be a turn.
        retry_after: Duration,
    },
    /// It asks us to slow down (503 `SlowDown`, 429).
    #[error("the origin asks to slow down")]
    SlowDown {
        /// When it wants to be asked again, if it said so (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// It failed too often just now, so it was not asked.
    #[error("the origin keeps failing, so it is not asked for a while")]
    BreakerOpen {
        /// When it will be asked again.
        retry_after: Duration,
    },
    /// It refuses our credentials, or refuses them this object.
    #[error("the origin denied access: {0}")]
    Denied(String),
    /// The bucket or directory is not there.
    #[error("{0}")]
    Missing(String),
    /// It answered with an error status.
    #[error("the origin answered with status {0}")]
    Status(u16),
    /// The version that was asked for is no longer the current one (412).
    #[error("the object has changed at the origin")]
    Changed,
    /// It has the object, but no byte of the range (416).
    #[error("the range is beyond the object's end")]
    Unsatisfiable,
    /// The body ended early, stalled, or was longer than announced.
    #[error("the origin's answer is incomplete: {0}")]
    Body(Source),
    /// It answered with something that makes no sense.
    #[error("the origin's answer is malformed: {0}")]
    Malformed(&'static str),
}

/// A cause whose type does not matter.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl OriginError {
    /// Status for the client, reason for logs, metrics and the answer, and the error type of
    /// `Proxy-Status` (RFC 9209 section 2.3).
    pub fn verdict(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unreachable(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_unreachable",
                "destination_unavailable",
            ),
            Self::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "origin_timeout",
                "http_response_timeout",
            ),
            Self::Busy { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "origin_busy",
                "connection_limit_reached",
            ),
            Self::SlowDown { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "origin_slow_down",
                "destination_unavailable",
            ),
            Self::BreakerOpen { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "origin_breaker_open",
                "destination_unavailable",
            ),
            Self::Denied(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_denied",
                "proxy_configuration_error",
            ),
            Self::Missing(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_missing",
                "destination_not_found",
            ),
            Self::Status(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_error",
                "http_protocol_error",
            ),
            Self::Unsatisfiable => (
                StatusCode::BAD_GATEWAY,
                "origin_unsatisfiable",
                "http_protocol_error",
            ),
            Self::Changed => (
                StatusCode::BAD_GATEWAY,
                "origin_changed",
                "http_protocol_error",
            ),
            Self::Body(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_incomplete",
                "http_response_incomplete",
            ),
            Self::Malformed(_) => (
                StatusCode::BAD_GATEWAY,
                "origin_malformed",
                "http_protocol_error",
            ),
        }
    }

    /// How long a client had better stay away, where that is known or can be guessed.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::BreakerOpen { retry_after } => Some(*retry_after),
            Self::SlowDown { retry_after } => Some(retry_after.unwrap_or(Duration::from_secs(1))),
            _ => None,
        }
    }

    /// Whether it was we who did not ask, so that it says nothing new about the origin.
    pub(super) fn is_our_refusal(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::BreakerOpen { .. })
    }

    /// How long the origin said to wait.
    pub(super) fn said_to_wait(&self) -> Duration {
        match self {
            Self::SlowDown {
                retry_after: Some(wait),
            } => *wait,
            _ => Duration::ZERO,
        }
    }

    /// What a status code of an HTTP or S3 origin means when it is neither success nor "not found".
    /// `retry_after` is what its `Retry-After` says.
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            401 | 403 => Self::Denied(format!("status {status}")),
            412 => Self::Changed,
            416 => Self::Unsatisfiable,
            429 | 503 => Self::SlowDown { retry_after },
            504 => Self::Timeout,
            status => Self::Status(status),
        }
    }
}
