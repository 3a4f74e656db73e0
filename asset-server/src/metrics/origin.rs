//! Metrics of origins and of the care they get: by mount, and by place among its origins.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Family;
use crate::origin::OriginError;

/// Labels of one origin: the path of its mount, and `0` for the first, `1` for the first fallback.
pub(super) const ORIGIN: [&str; 2] = ["mount", "origin"];

/// The metrics of one origin.
#[derive(Clone, Debug)]
pub(crate) struct OriginMetrics {
    pub(crate) requests: IntCounter,
    pub(crate) errors: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) first_byte_seconds: Histogram,
    pub(super) refused: RefusedMetrics,
    pub(crate) slow_downs: IntCounter,
    pub(crate) failovers: IntCounter,
    pub(crate) concurrency_limit: IntGauge,
    pub(crate) in_flight: IntGauge,
    pub(crate) breaker_open: IntGauge,
}

/// Requests that were not sent, by why.
#[derive(Clone, Debug)]
pub(super) struct RefusedMetrics {
    busy: IntCounter,
    slow_down: IntCounter,
    breaker_open: IntCounter,
}

/// The metrics of objects copied back to a mount's first origin.
#[derive(Clone, Debug)]
pub(crate) struct RestoreMetrics {
    pub(crate) copied: IntCounter,
    pub(crate) failed: IntCounter,
}

/// Families of what happens to requests on their way to an origin.
#[derive(Clone, Debug)]
pub(super) struct CareFamilies {
    pub(super) refused: IntCounterVec,
    pub(super) slow_downs: IntCounterVec,
    pub(super) failovers: IntCounterVec,
    pub(super) concurrency_limit: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) breaker_open: IntGaugeVec,
    pub(super) restored: IntCounterVec,
}

impl CareFamilies {
    pub(super) fn register(add: &Family<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refused: add.counters_by(
                "origin_refused_total",
                "requests that were not sent to an origin, to spare it or the client's time",
                &["mount", "origin", "reason"],
            )?,
            slow_downs: add.counters_by(
                "origin_slow_downs_total",
                "answers that asked to slow down",
                &ORIGIN,
            )?,
            failovers: add.counters_by(
                "origin_failovers_total",
                "requests that an origin answered because one before it failed",
                &ORIGIN,
            )?,
            concurrency_limit: add.gauges_by(
                "origin_concurrency_limit",
                "requests that the store may be given at once now",
                &ORIGIN,
            )?,
            in_flight: add.gauges_by(
                "origin_requests_in_flight",
                "requests to the store that are under way, bodies included",
                &ORIGIN,
            )?,
            breaker_open: add.gauges_by(
                "origin_breaker_open",
                "1 while the store is left alone because it kept failing",
                &ORIGIN,
            )?,
            restored: add.counters_by(
                "restored_objects_total",
                "objects copied back to a mount's first origin",
                &["mount", "result"],
            )?,
        })
    }
}

impl OriginMetrics {
    /// A request was not sent.
    pub(crate) fn refused(&self, why: &OriginError) {
        match why {
            OriginError::SlowDown { .. } => self.refused.slow_down.inc(),
            OriginError::BreakerOpen { .. } => self.refused.breaker_open.inc(),
            _ => self.refused.busy.inc(),
        }
    }
}

impl RefusedMetrics {
    pub(super) fn new(family: &IntCounterVec, [mount, origin]: [&str; 2]) -> Self {
        let of = |reason| family.with_label_values(&[mount, origin, reason]);
        Self {
            busy: of("busy"),
            slow_down: of("slow_down"),
            breaker_open: of("breaker_open"),
        }
    }
}
