//! What can go wrong with one request, and the one table of what that means for the client.

use std::time::Duration;

use http::StatusCode;

/// Whether the same request may be tried elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail there too.
    No,
    /// Only if doing it twice is the same as doing it once.
    IfIdempotent,
    /// Nothing of it was sent.
    Always,
}

/// Why a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No route's conditions hold.
    #[error("no route is configured for this host and path")]
    NoRoute,
    /// The request names no host, or one that is not a host.
    #[error("the request names no valid host")]
    InvalidHost,
    /// More requests are in flight than the gateway admits.
    #[error("too many requests are in flight; try again shortly")]
    Overloaded,
    /// It was carried from region to region too often.
    #[error("the request was carried between regions in a loop")]
    Loop,
    /// No region can answer it.
    #[error("no region can answer this route now")]
    NoUsableRegion,
    /// Its data must not be in this region, and it may not or cannot go on to one that is allowed.
    #[error(
        "the data of this host or path must stay in other regions, of which none can be reached from here now"
    )]
    Residency,
    /// The upstream has no endpoint that can be used.
    #[error("no endpoint of the upstream can be used now")]
    NoUsableEndpoint,
    /// Could not connect.
    #[error("could not connect to the upstream")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// No link leads to the region, and it was not tried.
    #[error("the region cannot be reached now")]
    Unreachable,
    /// The link to the region was lost while its answer was waited for.
    #[error("the link to the region was lost before it answered")]
    LinkLost,
    /// Connected, and then failed before an answer.
    #[error("the upstream closed the connection before it answered")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// No answer in time.
    #[error("the upstream sent no response within {}", humanise(.after))]
    FirstByteTimeout {
        /// The time it had.
        after: Duration,
    },
    /// An earlier attempt has read from the request body.
    #[error("the request body was already read by a failed attempt")]
    BodySpent,
    /// The protocol switch that the client asked for cannot be made.
    #[error("the connection cannot be upgraded this way")]
    Upgrade,
    /// A fault of ours.
    #[error("an internal error ended the request")]
    Panic,
}

fn humanise(duration: &Duration) -> impl std::fmt::Display {
    serving::units::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// What an error means for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Status of the response.
    pub status: StatusCode,
    /// The word for it in body, logs and metrics.
    pub reason: &'static str,
    /// Error type of `Proxy-Status`, RFC 9209 section 2.3.
    pub proxy_error: Option<&'static str>,
    /// Whether another place may be tried.
    pub retry: Retry,
}

impl Error {
    /// The one table.
    pub fn verdict(&self) -> Verdict {
        use StatusCode as S;
        let verdict = |status, reason, proxy_error, retry| Verdict {
            status,
            reason,
            proxy_error,
            retry,
        };
        match self {
            Self::NoRoute => verdict(S::NOT_FOUND, "no_route", None, Retry::No),
            Self::InvalidHost => verdict(
                S::BAD_REQUEST,
                "invalid_host",
                Some("http_request_error"),
                Retry::No,
            ),
            Self::Overloaded => verdict(
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                Some("proxy_internal_response"),
                // Refused before anything of it was read.
                Retry::Always,
            ),
            Self::Loop => verdict(
                S::LOOP_DETECTED,
                "loop",
                Some("proxy_loop_detected"),
                Retry::No,
            ),
            Self::NoUsableRegion => verdict(
                S::SERVICE_UNAVAILABLE,
                "no_usable_region",
                Some("destination_unavailable"),
                Retry::No,
            ),
            // RFC 9110 section 15.5.20: a client may try again over another connection.
            Self::Residency => verdict(
                S::MISDIRECTED_REQUEST,
                "residency",
                Some("proxy_internal_response"),
                Retry::No,
            ),
            Self::NoUsableEndpoint => verdict(
                S::SERVICE_UNAVAILABLE,
                "no_usable_endpoint",
                Some("destination_unavailable"),
                Retry::Always,
            ),
            Self::Connect(_) => verdict(
                S::BAD_GATEWAY,
                "connect",
                Some("connection_refused"),
                Retry::Always,
            ),
            Self::Unreachable => verdict(
                S::BAD_GATEWAY,
                "unreachable",
                Some("destination_unavailable"),
                Retry::Always,
            ),
            Self::LinkLost => verdict(
                S::BAD_GATEWAY,
                "link_lost",
                Some("connection_terminated"),
                Retry::IfIdempotent,
            ),
            Self::Broken(_) => verdict(
                S::BAD_GATEWAY,
                "upstream_broken",
                Some("connection_terminated"),
                Retry::IfIdempotent,
            ),
            Self::FirstByteTimeout { .. } => verdict(
                S::GATEWAY_TIMEOUT,
                "first_byte_timeout",
                Some("http_response_timeout"),
                Retry::IfIdempotent,
            ),
            Self::BodySpent => verdict(
                S::BAD_GATEWAY,
                "body_spent",
                Some("connection_terminated"),
                Retry::No,
            ),
            Self::Upgrade => verdict(
                S::BAD_GATEWAY,
                "upgrade",
                Some("http_upgrade_failed"),
                Retry::No,
            ),
            Self::Panic => verdict(
                S::INTERNAL_SERVER_ERROR,
                "panic",
                Some("proxy_internal_error"),
                Retry::No,
            ),
        }
    }
}
