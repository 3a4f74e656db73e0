//! What the gateway counts. Every handle that a request touches is resolved when the configuration is
//! loaded, so that counting is one atomic addition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use geo_db::GeoDb;
use http::StatusCode;
use prometheus::PullingGauge;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    Result,
};

use crate::admission::Admission;
use crate::mesh;
use crate::region::{HealthPolicy, Region, RegionIndex, RegionSet, Status};

/// Seconds: a memory hit takes a tenth of a millisecond, an ocean a quarter of a second, an upload minutes.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The families that live as long as the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Requests sent again after a failed attempt.
    pub retries: IntCounter,
    /// Configuration files taken over.
    pub reloads_applied: IntCounter,
    /// What the mesh counts.
    pub mesh: mesh::Metrics,
    /// Configuration files refused; the running configuration stays.
    pub reloads_refused: IntCounter,
    requests: IntCounterVec,
    errors: IntCounterVec,
    responses: Arc<Responses>,
    region_up: GaugeVec,
    region_share: GaugeVec,
    region_rtt: GaugeVec,
}

/// Histograms by the client's nearest region and the region that answered.
#[derive(Debug)]
struct Responses {
    /// Indexed by nearest, then by answering region.
    nearest_known: Vec<Vec<Histogram>>,
    nearest_unknown: Vec<Histogram>,
}

/// The counters of one route, by status class.
#[derive(Clone, Debug)]
pub struct RouteMetrics([IntCounter; 5]);

impl RouteMetrics {
    /// Counts a response.
    pub fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.0[class].inc();
    }
}

impl Metrics {
    /// Registers every family.
    pub fn register(registry: &Registry, regions: &RegionSet) -> Result<Self> {
        let counter = |name, help, labels: &[&str]| {
            add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let by_region =
            |name, help| add(registry, GaugeVec::new(Opts::new(name, help), &["region"])?);
        let reloads = counter(
            "gateway_config_reloads_total",
            "Configuration reloads.",
            &["result"],
        )?;
        let seconds = HistogramOpts::new(
            "gateway_response_seconds",
            "Time from a request's headers to its response's, by the client's nearest region and the one that answered.",
        );
        let seconds = HistogramVec::new(
            seconds.buckets(BUCKETS.to_vec()),
            &["nearest_region", "region"],
        )?;
        let seconds = add(registry, seconds)?;
        let names: Vec<&str> = regions
            .iter()
            .map(|(_, region)| region.name.as_str())
            .collect();
        let answering = |nearest: &str| {
            names
                .iter()
                .map(|region| seconds.with_label_values(&[nearest, region]))
                .collect()
        };
        Ok(Self {
            mesh: mesh::Metrics::register(registry, regions)?,
            retries: add(
                registry,
                IntCounter::new(
                    "gateway_retries_total",
                    "Requests sent again after a failed attempt.",
                )?,
            )?,
            reloads_applied: reloads.with_label_values(&["applied"]),
            reloads_refused: reloads.with_label_values(&["refused"]),
            requests: counter(
                "gateway_requests_total",
                "Responses by route and status class.",
                &["route", "class"],
            )?,
            errors: counter(
                "gateway_errors_total",
                "Errors that the gateway made, by reason.",
                &["reason"],
            )?,
            responses: Arc::new(Responses {
                nearest_known: names.iter().map(|nearest| answering(nearest)).collect(),
                nearest_unknown: answering("unknown"),
            }),
            region_up: by_region(
                "gateway_region_up",
                "1 while a region can be given requests.",
            )?,
            region_share: by_region(
                "gateway_region_share",
                "Part of its own users that a region gets, 0 to 1.",
            )?,
            region_rtt: by_region(
                "gateway_region_rtt_seconds",
                "Round trip of a region's last good health check.",
            )?,
        })
    }

    /// The counters of a route; one label value a route, from the configuration.
    pub fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics(CLASSES.map(|class| self.requests.with_label_values(&[name, class])))
    }

    /// Counts an answered request.
    pub fn response(&self, nearest: Option<RegionIndex>, answered: RegionIndex, after: Duration) {
        let row = match nearest {
            Some(nearest) => self.responses.nearest_known.get(nearest.get()),
            None => Some(&self.responses.nearest_unknown),
        };
        if let Some(histogram) = row.and_then(|row| row.get(answered.get())) {
            histogram.observe(after.as_secs_f64());
        }
    }

    /// Counts an error of ours. Errors are rare enough to look their label up.
    pub fn error(&self, reason: &'static str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// Shows how a region is doing.
    pub fn region(&self, region: &Region, policy: &HealthPolicy, now: Instant) {
        let health = region.health();
        let name = [region.name.as_str()];
        let up = matches!(health.status, Status::Up | Status::Unknown);
        self.region_up
            .with_label_values(&name)
            .set(f64::from(u8::from(up)));
        self.region_share
            .with_label_values(&name)
            .set(f64::from(health.share(now, policy)));
        if let Some(rtt) = health.rtt {
            self.region_rtt
                .with_label_values(&name)
                .set(rtt.as_secs_f64());
        }
    }
}

/// Registers what is read where it is kept, when somebody asks for it.
pub fn register_pulled(registry: &Registry, admission: &Admission, geo: &GeoDb) -> Result<()> {
    let pulled = |name: &str, help: &str, value: Box<dyn Fn() -> f64 + Send + Sync>| {
        registry.register(Box::new(PullingGauge::new(name, help, value)?))
    };
    let (admission, applied, refused) = (admission.clone(), geo.clone(), geo.clone());
    pulled(
        "gateway_requests_in_flight",
        "Requests being answered now.",
        Box::new(move || admission.in_flight() as f64),
    )?;
    pulled(
        "geo_db_reloads",
        "Reloads of geo data since the start.",
        Box::new(move || applied.reload_counts().succeeded as f64),
    )?;
    pulled(
        "geo_db_reloads_refused",
        "Geo data files refused since the start; the data before goes on.",
        Box::new(move || refused.reload_counts().failed as f64),
    )
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
