//! What the gateway counts. Every handle that a request touches is resolved when the configuration is
//! loaded, so that counting is one atomic addition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use geo_db::GeoDb;
use http::StatusCode;
use prometheus::PullingGauge;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, Result,
};

use crate::admission::Admission;
use crate::mesh;
use crate::region::{Condition, Region, RegionIndex, RegionSet, Status};
use crate::steering::{ClientGroup, Correction};

/// Seconds: a memory hit takes a tenth of a millisecond, an ocean a quarter of a second, an upload minutes.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const CORRECTIONS: [Correction; 3] = [Correction::Here, Correction::Carry, Correction::Redirect];

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
    /// Round trips of client connections that were learnt from.
    pub rtt_samples: IntCounter,
    /// Client prefixes of which a round trip is known.
    pub rtt_prefixes: IntGauge,
    steered: Arc<Steered>,
    corrections: [IntCounter; 3],
    requests: IntCounterVec,
    errors: IntCounterVec,
    responses: Arc<Responses>,
    region_up: GaugeVec,
    region_condition: GaugeVec,
    region_word_age: GaugeVec,
    region_ejections: IntCounterVec,
    region_share: GaugeVec,
    region_rtt: GaugeVec,
    region_load: GaugeVec,
    region_load_share: GaugeVec,
    region_drained: GaugeVec,
}

/// Histograms by the client's nearest region and the region that answered.
#[derive(Debug)]
struct Responses {
    /// Indexed by nearest, then by answering region.
    nearest_known: Vec<Vec<Histogram>>,
    nearest_unknown: Vec<Histogram>,
}

/// Requests by where their client comes from, where it should have been answered, and where it was.
#[derive(Debug)]
struct Steered {
    family: IntCounterVec,
    regions: Vec<String>,
    /// Found once each: most of the thousands that are possible never happen.
    counters: Vec<OnceLock<IntCounter>>,
}

impl Steered {
    fn new(family: IntCounterVec, regions: Vec<String>) -> Self {
        let possible = ClientGroup::COUNT * (regions.len() + 1) * regions.len();
        Self {
            family,
            regions,
            counters: std::iter::repeat_with(OnceLock::new)
                .take(possible)
                .collect(),
        }
    }

    fn count(&self, group: ClientGroup, ideal: Option<RegionIndex>, served: RegionIndex) {
        let regions = self.regions.len();
        let ideal = ideal.map_or(regions, RegionIndex::get);
        let at = (group.get() * (regions + 1) + ideal) * regions + served.get();
        let Some(counter) = self.counters.get(at) else {
            return;
        };
        let found = || {
            let name = |index: usize| self.regions.get(index).map_or("unknown", String::as_str);
            let group = ClientGroup::names().nth(group.get()).unwrap_or("other");
            self.family
                .with_label_values(&[group, name(ideal), name(served.get())])
        };
        counter.get_or_init(found).inc();
    }
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
        let region_ejections = counter(
            "gateway_region_ejections_total",
            "Times a region was ejected for the responses to requests that were carried there.",
            &["region"],
        )?;
        // There from the start, so that a first ejection is an increase.
        for name in &names {
            region_ejections.with_label_values(&[name]);
        }
        Ok(Self {
            rtt_samples: add(
                registry,
                IntCounter::new(
                    "gateway_rtt_samples_total",
                    "Round trips of client connections that were learnt from.",
                )?,
            )?,
            rtt_prefixes: add(
                registry,
                IntGauge::new(
                    "gateway_rtt_prefixes",
                    "Client prefixes of which a round trip is known.",
                )?,
            )?,
            steered: {
                let family = counter(
                    "gateway_steered_requests_total",
                    "Requests by where the client comes from, the region that would be best if all were up, and the region that answered.",
                    &["client_group", "ideal_region", "served_region"],
                )?;
                for name in &names {
                    family.with_label_values(&["other", "unknown", name]);
                }
                let names = names.iter().map(|name| (*name).to_owned());
                Arc::new(Steered::new(family, names.collect()))
            },
            corrections: {
                let family = counter(
                    "gateway_corrections_total",
                    "What was done with requests whose best region is another one.",
                    &["action"],
                )?;
                CORRECTIONS.map(|correction| family.with_label_values(&[correction.as_str()]))
            },
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
            region_condition: add(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "gateway_region_condition",
                        "1 for the condition that a region is in, 0 for the others.",
                    ),
                    &["region", "condition"],
                )?,
            )?,
            region_word_age: by_region(
                "gateway_region_word_age_seconds",
                "Time since another region's last word was heard.",
            )?,
            region_ejections,
            region_share: by_region(
                "gateway_region_share",
                "Part of its own users that a region gets, 0 to 1.",
            )?,
            region_rtt: by_region(
                "gateway_region_rtt_seconds",
                "Round trip of a region's last good health check.",
            )?,
            region_load: by_region(
                "gateway_region_load",
                "Part of its capacity that a region uses, 0 to 1.",
            )?,
            region_load_share: by_region(
                "gateway_region_load_share",
                "Part of its own users that a region's load lets it keep, 0 to 1.",
            )?,
            region_drained: by_region(
                "gateway_region_drained",
                "1 while an operator's order keeps users from a region.",
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

    /// Counts where a request was answered, and where it should have been.
    pub fn steered(&self, group: ClientGroup, ideal: Option<RegionIndex>, served: RegionIndex) {
        self.steered.count(group, ideal, served);
    }

    /// Counts what was done with a request whose best region is another one.
    pub fn corrected(&self, correction: Correction) {
        let at = CORRECTIONS.iter().position(|known| *known == correction);
        if let Some(counter) = at.and_then(|at| self.corrections.get(at)) {
            counter.inc();
        }
    }

    /// Counts an error of ours. Errors are rare enough to look their label up.
    pub fn error(&self, reason: &'static str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    /// Shows how busy a region is and what follows from it, and whether it is drained.
    pub fn load(&self, region: &Region, load: f32, share: f32, is_drained: bool) {
        let name = [region.name.as_str()];
        let show = |gauge: &GaugeVec, value| gauge.with_label_values(&name).set(value);
        show(&self.region_load, f64::from(load));
        show(&self.region_load_share, f64::from(share));
        show(&self.region_drained, f64::from(u8::from(is_drained)));
    }

    /// Shows how a region is doing.
    pub fn region(&self, region: &Region, condition: Condition) {
        let health = region.health();
        let name = region.name.as_str();
        let up = matches!(condition.from_here(&health), Status::Up | Status::Unknown);
        self.region_up
            .with_label_values(&[name])
            .set(f64::from(u8::from(up)));
        for other in Condition::ALL {
            self.region_condition
                .with_label_values(&[name, other.as_str()])
                .set(f64::from(u8::from(other == condition)));
        }
        if let Some(rtt) = health.rtt {
            self.region_rtt
                .with_label_values(&[name])
                .set(rtt.as_secs_f64());
        }
    }

    /// Shows the part of its users that a region gets.
    pub fn region_share(&self, region: &Region, share: f32) {
        self.region_share
            .with_label_values(&[region.name.as_str()])
            .set(f64::from(share));
    }

    /// Shows how old a region's last word is; nothing where there was none.
    pub fn region_word_age(&self, region: &Region, age: Option<Duration>) {
        if let Some(age) = age {
            self.region_word_age
                .with_label_values(&[region.name.as_str()])
                .set(age.as_secs_f64());
        }
    }

    /// Counts an ejection.
    pub fn region_ejected(&self, region: &Region) {
        self.region_ejections
            .with_label_values(&[region.name.as_str()])
            .inc();
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
