//! What the asset server counts. Handles are resolved once, at start; the data path only adds.
//!
//! Labels are enums and mount paths. A key, a client or a host is never a label.

mod origin;
mod writes;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use origin::{CareFamilies, ORIGIN, RefusedMetrics};
pub(crate) use origin::{OriginMetrics, RestoreMetrics};
pub(crate) use writes::{WriteKind, WriteMetrics, WriteResult};

use crate::cache::status::CacheStatus;
use crate::signed_url::Refusal;

/// From a store in the same building to one across an ocean with a retry.
const LATENCY_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// All metrics of one asset server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: [IntCounter; CacheStatus::COUNT],
    granted: IntCounter,
    refused: [IntCounter; Refusal::ALL.len()],
    /// Bytes of bodies sent from memory.
    pub(crate) memory_bytes: IntCounter,
    /// Bytes of bodies sent from disk.
    pub(crate) disk_bytes: IntCounter,
    /// Bytes of bodies sent while they came from an origin.
    pub(crate) origin_bytes: IntCounter,
    /// Bytes of bodies sent while they were coded.
    pub(crate) coded_bytes: IntCounter,
    /// Bytes that are read, but not to be sent as they are. Not shown.
    pub(crate) read_bytes: IntCounter,
    pub(crate) coded: IntCounter,
    pub(crate) memory_evictions: IntCounter,
    pub(crate) disk_evictions: IntCounter,
    pub(crate) corrupt_files: IntCounter,
    pub(crate) disk_errors: IntCounter,
    pub(crate) cached_disk_reads: IntCounter,
    pub(crate) waited_disk_reads: IntCounter,
    pub(crate) fills: IntGauge,
    pub(crate) failed_fills: IntCounter,
    pub(crate) purged: IntCounter,
    purges: [IntCounter; PurgeSource::ALL.len()],
    pub(crate) writes: WriteMetrics,
    pub(crate) purge_log_errors: IntCounter,
    /// When the purge log was last read, in seconds since 1970.
    pub(crate) purge_log_read: IntGauge,
    tier_bytes: IntGaugeVec,
    tier_objects: IntGaugeVec,
    origin_requests: IntCounterVec,
    origin_errors: IntCounterVec,
    origin_retries: IntCounterVec,
    origin_received: IntCounterVec,
    origin_first_byte: HistogramVec,
    care: CareFamilies,
}

/// How a purge got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PurgeSource {
    /// Somebody asked this instance.
    Admin,
    /// A bucket's event notification was sent to this instance.
    Event,
    /// Another instance said so.
    Peer,
    /// It was found in the purge log.
    Log,
    /// The object was written through this instance.
    Write,
}

impl PurgeSource {
    const ALL: [Self; 5] = [Self::Admin, Self::Event, Self::Peer, Self::Log, Self::Write];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Event => "event",
            Self::Peer => "peer",
            Self::Log => "log",
            Self::Write => "write",
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let add = Family { registry };
        let requests =
            add.counters("requests_total", "requests by cache status", "cache_status")?;
        let signatures = add.counters(
            "signatures_total",
            "requests to private mounts, by what became of their signature",
            "result",
        )?;
        let sent = add.counters(
            "sent_bytes_total",
            "bytes of bodies sent, by where they came from",
            "source",
        )?;
        let evictions = add.counters(
            "evictions_total",
            "objects removed from a tier to make room",
            "tier",
        )?;
        let disk_reads = add.counters(
            "disk_reads_total",
            "pieces of files read for a response, by whether the page cache had them",
            "from",
        )?;
        let purges = add.counters(
            "purges_total",
            "purges applied here, by how they got here",
            "source",
        )?;
        Ok(Self {
            requests: CacheStatus::ALL.map(|status| requests.with_label_values(&[status.as_str()])),
            granted: signatures.with_label_values(&["granted"]),
            refused: Refusal::ALL.map(|refusal| signatures.with_label_values(&[refusal.as_str()])),
            memory_bytes: sent.with_label_values(&["memory"]),
            disk_bytes: sent.with_label_values(&["disk"]),
            origin_bytes: sent.with_label_values(&["origin"]),
            coded_bytes: sent.with_label_values(&["coded"]),
            read_bytes: IntCounter::with_opts(options("read_bytes_total", "not shown"))?,
            coded: add.counter("coded_objects_total", "times that an object was coded")?,
            memory_evictions: evictions.with_label_values(&["memory"]),
            disk_evictions: evictions.with_label_values(&["disk"]),
            corrupt_files: add.counter(
                "corrupt_files_total",
                "cache files dropped because they were damaged",
            )?,
            disk_errors: add.counter(
                "disk_errors_total",
                "objects not kept because the disk tier failed or was full",
            )?,
            cached_disk_reads: disk_reads.with_label_values(&["page_cache"]),
            waited_disk_reads: disk_reads.with_label_values(&["device"]),
            fills: add.gauge(
                "fills_in_flight",
                "objects being read from their origin into the cache",
            )?,
            failed_fills: add.counter(
                "failed_fills_total",
                "fills that ended before the object was complete",
            )?,
            purged: add.counter("purged_objects_total", "objects removed by a purge")?,
            purges: PurgeSource::ALL.map(|source| purges.with_label_values(&[source.as_str()])),
            writes: WriteMetrics::register(&add)?,
            purge_log_errors: add.counter(
                "purge_log_errors_total",
                "times that the purge log could not be read or written, and records that make no sense",
            )?,
            purge_log_read: add.gauge(
                "purge_log_read_timestamp_seconds",
                "when the purge log was last read to its end",
            )?,
            tier_bytes: add.gauges("tier_bytes", "bytes that a tier holds", "tier")?,
            tier_objects: add.gauges("tier_objects", "objects that a tier holds", "tier")?,
            origin_requests: add.counters_by(
                "origin_requests_total",
                "requests to an origin",
                &ORIGIN,
            )?,
            origin_errors: add.counters_by(
                "origin_errors_total",
                "requests to an origin that failed",
                &ORIGIN,
            )?,
            origin_retries: add.counters_by(
                "origin_retries_total",
                "requests to an origin sent again",
                &ORIGIN,
            )?,
            origin_received: add.counters_by(
                "origin_received_bytes_total",
                "bytes of bodies from an origin",
                &ORIGIN,
            )?,
            origin_first_byte: add.histograms(
                "origin_first_byte_seconds",
                "time to the head of an origin's answer",
                &ORIGIN,
            )?,
            care: CareFamilies::register(&add)?,
        })
    }

    /// Those of one origin; `position` is its place in its mount, 0 for the first.
    pub(crate) fn origin(&self, mount: &str, position: usize) -> OriginMetrics {
        let labels = [mount, &position.to_string()];
        OriginMetrics {
            requests: self.origin_requests.with_label_values(&labels),
            errors: self.origin_errors.with_label_values(&labels),
            retries: self.origin_retries.with_label_values(&labels),
            bytes: self.origin_received.with_label_values(&labels),
            first_byte_seconds: self.origin_first_byte.with_label_values(&labels),
            refused: RefusedMetrics::new(&self.care.refused, labels),
            slow_downs: self.care.slow_downs.with_label_values(&labels),
            failovers: self.care.failovers.with_label_values(&labels),
            concurrency_limit: self.care.concurrency_limit.with_label_values(&labels),
            in_flight: self.care.in_flight.with_label_values(&labels),
            breaker_open: self.care.breaker_open.with_label_values(&labels),
        }
    }

    /// Those of objects that are copied back to a mount's first origin.
    pub(crate) fn restores(&self, mount: &str) -> RestoreMetrics {
        let of = |result| self.care.restored.with_label_values(&[mount, result]);
        RestoreMetrics {
            copied: of("copied"),
            failed: of("failed"),
        }
    }

    pub(crate) fn request(&self, status: CacheStatus) {
        self.requests[status as usize].inc();
    }

    pub(crate) fn purge(&self, source: PurgeSource) {
        self.purges[source as usize].inc();
    }

    /// What became of a signature.
    pub(crate) fn signature(&self, refusal: Option<Refusal>) {
        match refusal {
            None => self.granted.inc(),
            Some(refusal) => self.refused[refusal as usize].inc(),
        }
    }

    /// Objects and bytes of a tier; set every few seconds, not on the data path.
    pub(crate) fn tier(&self, tier: &'static str, (objects, bytes): (u64, u64)) {
        self.tier_objects
            .with_label_values(&[tier])
            .set(objects as i64);
        self.tier_bytes.with_label_values(&[tier]).set(bytes as i64);
    }
}

/// Registers metrics under the crate's prefix.
struct Family<'a> {
    registry: &'a Registry,
}

impl Family<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> Result<M, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(options(name, help))?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.counters_by(name, help, &[label])
    }

    fn counters_by(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(options(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(options(name, help))?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.gauges_by(name, help, &[label])
    }

    fn gauges_by(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(options(name, help), labels)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts {
            common_opts: options(name, help),
            buckets: LATENCY_BUCKETS.to_vec(),
        };
        self.register(HistogramVec::new(options, labels)?)
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("asset_server_{name}"), help)
}
