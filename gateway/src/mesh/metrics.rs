//! What the mesh counts, by region.

use std::time::UNIX_EPOCH;

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry, Result};

use super::keys::Keys;
use super::link::Link;
use super::message::Refusal;
use super::path::Path;
use crate::region::{Region, RegionIndex, RegionSet};

/// The mesh's families.
#[derive(Clone, Debug)]
pub struct Metrics {
    up: Vec<Gauge>,
    relayed: Vec<Gauge>,
    refused: Vec<[IntCounter; Refusal::ALL.len()]>,
    carried: IntCounterVec,
    expires: Gauge,
    /// Key files that were refused when they changed; the keys before stay.
    pub reloads_refused: IntCounter,
}

/// Requests sent over one link.
#[derive(Clone, Debug)]
pub struct Carried {
    direct: IntCounter,
    relayed: IntCounter,
}

impl Carried {
    /// Counts a request.
    pub fn count(&self, path: Path) {
        match path {
            Path::Direct => self.direct.inc(),
            Path::Via(_) => self.relayed.inc(),
        }
    }
}

impl Metrics {
    /// Registers every family.
    pub fn register(registry: &Registry, regions: &RegionSet) -> Result<Self> {
        let gauges = |name: &str, help: &str| {
            let family = add(registry, GaugeVec::new(Opts::new(name, help), &["region"])?)?;
            let of = |(_, region): (_, &Region)| family.with_label_values(&[region.name.as_str()]);
            Result::Ok(regions.iter().map(of).collect())
        };
        let counters = |name: &str, help: &str, label: &str| {
            let family = IntCounterVec::new(Opts::new(name, help), &["region", label])?;
            add(registry, family)
        };
        let refused = counters(
            "gateway_mesh_refused_total",
            "What regions have said and was not taken.",
            "reason",
        )?;
        let refused_by = |(_, region): (_, &Region)| {
            Refusal::ALL
                .map(|reason| refused.with_label_values(&[region.name.as_str(), reason.as_str()]))
        };
        Ok(Self {
            up: gauges(
                "gateway_mesh_link_up",
                "1 while our own link to a region answers.",
            )?,
            relayed: gauges(
                "gateway_mesh_relayed",
                "1 while requests for a region are carried through a third one.",
            )?,
            refused: regions.iter().map(refused_by).collect(),
            carried: counters(
                "gateway_mesh_carried_total",
                "Requests sent over the link to a region: for itself (direct), or for it to pass on (relayed).",
                "path",
            )?,
            expires: add(
                registry,
                Gauge::new(
                    "gateway_mesh_certificate_expires_timestamp_seconds",
                    "Unix time at which this gateway's mesh certificate expires; 0 without a mesh.",
                )?,
            )?,
            reloads_refused: add(
                registry,
                IntCounter::new(
                    "gateway_mesh_key_reloads_refused_total",
                    "Replaced key files of the mesh that could not be used; the keys before stay.",
                )?,
            )?,
        })
    }

    /// The counters of one region's link.
    pub fn carried(&self, region: &Region) -> Carried {
        let path = |path| {
            self.carried
                .with_label_values(&[region.name.as_str(), path])
        };
        Carried {
            direct: path("direct"),
            relayed: path("relayed"),
        }
    }

    pub(super) fn refused(&self, from: RegionIndex, refusal: Refusal) {
        let all = Refusal::ALL.iter();
        let counters = self.refused.get(from.get());
        let found =
            counters.and_then(|counters| all.zip(counters).find(|(reason, _)| **reason == refusal));
        if let Some((_, counter)) = found {
            counter.inc();
        }
    }

    pub(super) fn link(&self, region: RegionIndex, link: &Link, path: Option<Path>) {
        let set = |gauges: &[Gauge], on: bool| {
            if let Some(gauge) = gauges.get(region.get()) {
                gauge.set(f64::from(u8::from(on)));
            }
        };
        set(&self.up, link.quality().rtt().is_some());
        set(&self.relayed, matches!(path, Some(Path::Via(_))));
    }

    /// Shows when our certificate expires.
    pub fn keys(&self, keys: &Keys) {
        let at = keys.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expires.set(at.as_secs_f64());
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
