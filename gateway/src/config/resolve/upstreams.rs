//! Upstreams: their endpoints, where they are, and their timers.

use serving::config::Invalid;

use super::super::UpstreamConfig;
use super::super::file::{HealthCheckFile, TimeoutsFile, UpstreamFile};
use super::positive;
use super::regions::address;
use crate::region::{MAX_REGIONS, RegionSet};
use crate::upstream::{HealthCheck, Timeouts};

pub(super) fn upstream(
    name: &str,
    file: &UpstreamFile,
    regions: &RegionSet,
) -> Result<UpstreamConfig, Invalid> {
    let endpoints = file.endpoints.iter().enumerate();
    let endpoints =
        endpoints.map(|(at, url)| address(url).map_err(|e| e.within(format!("endpoints[{at}]"))));
    let endpoints: Vec<_> = endpoints.collect::<Result<_, _>>()?;
    let mut available = [file.regions.is_none(); MAX_REGIONS];
    for (at, region) in file.regions.iter().flatten().enumerate() {
        let unknown = || {
            Invalid::new(
                format!("regions[{at}]"),
                format!("{region:?} is not among the regions"),
            )
        };
        available[regions.find(region).ok_or_else(unknown)?.get()] = true;
    }
    if endpoints.is_empty() && available[regions.own_index().get()] {
        let reason = format!(
            "{} has this upstream, so it needs endpoints here",
            regions.own().name
        );
        return Err(Invalid::new("endpoints", reason));
    }
    let health_check = file
        .health_check
        .as_ref()
        .map(health_check)
        .transpose()
        .map_err(|e| e.within("health_check"))?;
    Ok(UpstreamConfig {
        name: name.to_owned(),
        endpoints,
        available,
        http2: file.http2,
        timeouts: timeouts(file.timeouts),
        health_check,
    })
}

fn health_check(file: &HealthCheckFile) -> Result<HealthCheck, Invalid> {
    if !file.path.starts_with('/') || file.path.parse::<http::uri::PathAndQuery>().is_err() {
        return Err(Invalid::new(
            "path",
            format!("{:?} is not a path such as /healthz", file.path),
        ));
    }
    Ok(HealthCheck {
        path: file.path.as_str().into(),
        interval: positive("interval", file.interval)?,
        timeout: file.timeout.get(),
    })
}

pub(super) fn timeouts(file: TimeoutsFile) -> Timeouts {
    Timeouts {
        connect: file.connect.get(),
        first_byte: file.first_byte.get(),
        idle: file.idle.get(),
    }
}
