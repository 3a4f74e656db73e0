//! What is counted about certificates. Names come from the configuration.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
};

/// How an order can end.
pub(super) const OUTCOMES: [&str; 8] = [
    "issued",
    "rate_limited",
    "refused",
    "unreachable",
    "validation",
    "store",
    "unusable",
    "lease_lost",
];

/// The families, for all names.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) store_errors: IntCounter,
    orders: IntCounterVec,
    expiry: GaugeVec,
    lease_held: IntGaugeVec,
}

/// The handles of one name.
#[derive(Clone, Debug)]
pub(super) struct NameMetrics {
    pub(super) expiry: Gauge,
    pub(super) lease_held: IntGauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let orders = Opts::new(
            "gateway_certificate_orders_total",
            "Orders of certificates by this process, by how they ended.",
        );
        let expiry = Opts::new(
            "gateway_certificate_expiry_timestamp_seconds",
            "When the certificate that is served for a name ends; 0 before there is one.",
        );
        let lease_held = Opts::new(
            "gateway_certificate_lease_held",
            "1 while this process orders the certificate of a name.",
        );
        let metrics = Self {
            store_errors: add(
                registry,
                IntCounter::new(
                    "gateway_certificate_store_errors_total",
                    "Times that the certificate store could not be used, or held what does not open.",
                )?,
            )?,
            orders: add(registry, IntCounterVec::new(orders, &["outcome"])?)?,
            expiry: add(registry, GaugeVec::new(expiry, &["name"])?)?,
            lease_held: add(registry, IntGaugeVec::new(lease_held, &["name"])?)?,
        };
        for outcome in OUTCOMES {
            metrics.orders.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    pub(super) fn name(&self, name: &str) -> NameMetrics {
        NameMetrics {
            expiry: self.expiry.with_label_values(&[name]),
            lease_held: self.lease_held.with_label_values(&[name]),
        }
    }

    pub(super) fn order(&self, outcome: &'static str) {
        self.orders.with_label_values(&[outcome]).inc();
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
