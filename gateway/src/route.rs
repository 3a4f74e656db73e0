//! Host, path, method and headers → the route that answers.

mod matcher;

mod residency;

mod rules;

mod table;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

pub use self::matcher::{HostPattern, InvalidPattern, Matcher, PathPattern};
pub use self::residency::{Outside, Residency, Tenant, Tenants};
pub use self::rules::Rules;
pub use self::table::RouteTable;
use crate::metrics::RouteMetrics;
use crate::region::MAX_REGIONS;
use crate::steering::Preference;
use crate::upstream::Upstream;

/// A rule from host and path to what answers, with its policies.
#[derive(Debug)]
pub struct Route {
    /// Name in logs and metrics.
    pub name: Box<str>,
    /// Requests it is for.
    pub matcher: Matcher,
    /// What to do when the client's best region is another one.
    pub steering: SteeringMode,
    /// Bytes of a usual response, for `auto` where nothing better is known.
    pub expected_size: Option<u64>,
    /// What answers.
    pub action: Action,
    /// Which regions can answer it, by region index.
    pub available: [bool; MAX_REGIONS],
    /// Where its data may be.
    pub residency: Residency,
    /// Its order of regions; empty: that of the client's group, else by round trip.
    pub preference: Preference,
    /// Its counters.
    pub metrics: RouteMetrics,
}

/// What to do with a request whose best region is not this one.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SteeringMode {
    /// Carry it to the best region over a warm connection, and the answer back.
    #[default]
    Carry,
    /// Answer 307 with the best region's own address, where it has one; carry otherwise.
    Redirect,
    /// Answer here.
    Here,
    /// Whichever costs the client least for this request: answer here what is here, send the client on
    /// for what is large, carry the rest.
    Auto,
}

/// What answers a route's requests.
#[derive(Debug)]
pub enum Action {
    /// The asset server.
    Assets,
    /// An upstream.
    Upstream {
        /// Where the requests go.
        upstream: Arc<Upstream>,
        /// Taken off the path before the request goes on.
        strip_prefix: Option<Box<str>>,
    },
    /// Another place.
    Redirect {
        /// Status 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// Value of `Location`. A trailing `*` stands for the request's path and query.
        to: Box<str>,
    },
    /// A fixed answer.
    Respond {
        /// Its status.
        status: StatusCode,
        /// Its media type.
        content_type: HeaderValue,
        /// Its body.
        body: Bytes,
    },
}

impl Action {
    /// Whether the answer depends on where it is made.
    pub fn is_steered(&self) -> bool {
        matches!(self, Self::Assets | Self::Upstream { .. })
    }
}
