//! From what is written to what it means. Every fault names the key that it is at.

mod dns;

mod learning;

mod mesh;

mod regions;

mod routes;

mod steering;

mod upstreams;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serving::config::Invalid;
use serving::listener::{HttpLimits, TlsFile};

use self::learning::{correction, learning};
use self::mesh::mesh;
use self::regions::regions;
use self::routes::{action, matcher};
use self::steering::{
    preference, preferences, route_residency, shield_is_resident, spill, tenants, weights,
};
use self::upstreams::{timeouts, upstream};
use super::certificates::certificates;
use super::file::{AssetServerFile, File, GeoFile, LimitsFile, ListenerFile};
use super::fixed::Fixed;
use super::{AssetServerConfig, Config, ListenerConfig, RouteConfig, UpstreamConfig};
use crate::client_addr::TrustedProxies;
use crate::gateway::RegionCheck;
use crate::mesh::LinkTimeouts;
use crate::region::HealthPolicy;

pub(super) fn resolve(file: File, directory: &Path) -> Result<Config, Invalid> {
    let fixed = Fixed::of(&file);
    unique(
        "regions",
        "name",
        file.regions.iter().map(|region| region.name.as_str()),
    )?;
    unique(
        "listeners",
        "name",
        file.listeners.iter().map(|listener| listener.name.as_str()),
    )?;
    unique(
        "routes",
        "name",
        file.routes.iter().map(|route| route.name.as_str()),
    )?;
    weights(&file.regions)?;
    dns::region_addresses(&file.regions)?;
    let zones: Vec<String> = file
        .dns
        .iter()
        .flat_map(|dns| &dns.zones)
        .map(|zone| zone.name.clone())
        .collect();
    let dns = file.dns.map(|dns| dns::dns(dns, &file.regions, directory));
    let dns = dns.transpose().map_err(|e| e.within("dns"))?;
    let regions = regions(&file.regions, &file.region, file.mesh.is_some())?;
    let upstreams: Vec<UpstreamConfig> = file
        .upstreams
        .iter()
        .map(|(name, upstream)| {
            self::upstream(name, upstream, &regions)
                .map_err(|e| e.within(format!("upstreams.{name}")))
        })
        .collect::<Result<_, _>>()?;
    let assets_file = file.asset_server.clone();
    let certificates = certificates(file.certificates, &file.listeners, &zones, directory)?;
    let asset_server = match file.asset_server {
        None => None,
        Some(AssetServerFile::Embedded(embedded)) => {
            let embedded = asset_server::ConfigFile {
                region: file.region.clone(),
                ..*embedded
            };
            let resolved = embedded
                .resolve(directory)
                .map_err(|e| e.within("asset_server.embedded"))?;
            Some(AssetServerConfig::Embedded(Box::new(resolved)))
        }
        Some(AssetServerFile::Remote(remote)) => {
            let remote = upstream("asset-server", &remote, &regions)
                .map_err(|e| e.within("asset_server.remote"))?;
            Some(AssetServerConfig::Remote(remote))
        }
    };
    let routes: Vec<RouteConfig> = file
        .routes
        .into_iter()
        .enumerate()
        .map(|(at, route)| {
            let matcher = matcher(&route.matches).map_err(|e| e.within("match"));
            let action = action(route.action, &upstreams, asset_server.is_some())
                .map_err(|e| e.within("action"));
            let residency = route_residency(route.residency.as_ref(), &regions)
                .map_err(|e| e.within("residency"));
            let preference =
                preference(&route.preference, &regions).map_err(|e| e.within("preference"));
            let located = |e: Invalid| e.within(format!("routes[{at}]"));
            Ok(RouteConfig {
                name: route.name,
                matcher: matcher.map_err(located)?,
                steering: route.steering,
                expected_size: route.expected_size.map(serving::units::ByteSize::get),
                residency: residency.map_err(located)?,
                preference: preference.map_err(located)?,
                action: action.map_err(located)?,
            })
        })
        .collect::<Result<_, Invalid>>()?;
    let tenants = tenants(&file.tenants, &regions)?;
    let named = routes
        .iter()
        .map(|route| {
            (
                format!("the residency of route {}", route.name),
                &route.residency,
            )
        })
        .chain(tenants.iter().map(|tenant| {
            (
                format!("the residency of tenant {}", tenant.name),
                &tenant.residency,
            )
        }));
    shield_is_resident(assets_file.as_ref(), named, &regions)?;
    let check = file.steering.health_check;
    at_least_one("steering.health_check.down_after", check.down_after)?;
    at_least_one("steering.health_check.up_after", check.up_after)?;
    let admin_token = file
        .admin
        .token
        .as_ref()
        .map(|token| token.load(directory))
        .transpose();
    if file.listeners.is_empty() {
        return Err(Invalid::new("listeners", "at least one listener is needed"));
    }
    let link = timeouts(file.steering.timeouts);
    let mesh = file
        .mesh
        .map(|mesh| self::mesh(mesh, directory))
        .transpose()?;
    Ok(Config {
        mesh,
        listeners: file
            .listeners
            .into_iter()
            .map(|listener| self::listener(listener, directory))
            .collect(),
        admin: file.admin.address,
        admin_token: admin_token.map_err(|e| Invalid::new("admin.token", e))?,
        log: file.log,
        workers: Some(file.workers).filter(|workers| *workers > 0),
        trusted_proxies: TrustedProxies::new(file.trusted_proxies),
        peers: TrustedProxies::new(file.peers),
        geo: geo(file.geo, directory)?,
        health_policy: HealthPolicy {
            down_after: check.down_after,
            up_after: check.up_after,
            slow_start: file.steering.slow_start.get(),
        },
        world_policy: file
            .steering
            .health
            .resolve(&check)
            .map_err(|e| e.within("steering.health"))?,
        health_check: RegionCheck {
            interval: positive("steering.health_check.interval", check.interval)?,
            timeout: check.timeout.get(),
        },
        learning: learning(
            file.steering.learning,
            file.state_directory.as_deref(),
            directory,
        )
        .map_err(|e| e.within("steering.learning"))?,
        correction: correction(&file.steering, directory).map_err(|e| e.within("steering"))?,
        spill: spill(&file.steering.spill).map_err(|e| e.within("steering.spill"))?,
        preferences: preferences(&file.steering.preference, &regions)?,
        tenants,
        state_directory: file.state_directory.map(|path| directory.join(path)),
        link_timeouts: LinkTimeouts {
            connect: link.connect,
            first_byte: link.first_byte,
            idle: link.idle,
        },
        requests_in_flight: file.limits.requests_in_flight,
        http_limits: http_limits(file.limits)?,
        certificate_authorities: file
            .certificate_authorities
            .iter()
            .map(|path| directory.join(path))
            .collect(),
        certificates,
        asset_server,
        regions,
        dns,
        upstreams,
        routes,
        drain_timeout: file.drain_timeout.get(),
        fixed,
    })
}

fn unique<'a>(list: &str, key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
    let mut seen = BTreeSet::new();
    for (at, name) in names.enumerate() {
        let key = || format!("{list}[{at}].{key}");
        if name.is_empty() {
            return Err(Invalid::new(key(), "a name is needed"));
        }
        if !seen.insert(name) {
            return Err(Invalid::new(key(), format!("{name:?} is there twice")));
        }
    }
    Ok(())
}

fn at_least_one(key: &str, number: u32) -> Result<(), Invalid> {
    if number == 0 {
        Err(Invalid::new(key, "at least 1 is needed"))
    } else {
        Ok(())
    }
}

fn positive(key: &str, duration: serving::units::Duration) -> Result<Duration, Invalid> {
    if duration.get().is_zero() {
        Err(Invalid::new(key, "must be longer than 0s"))
    } else {
        Ok(duration.get())
    }
}

fn listener(file: ListenerFile, directory: &Path) -> ListenerConfig {
    let located = |tls: TlsFile| TlsFile {
        certificate: directory.join(tls.certificate),
        key: directory.join(tls.key),
    };
    ListenerConfig {
        name: file.name,
        address: file.address,
        share_port: file.share_port,
        tls: file.tls.into_iter().map(located).collect(),
        acme: file.acme,
        proxy_protocol: file.proxy_protocol.into(),
    }
}

fn geo(file: GeoFile, directory: &Path) -> Result<geo_db::Sources, Invalid> {
    let existing = |key: &str, path: PathBuf| {
        let path = directory.join(path);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Invalid::new(
                key,
                format!("{} is not a file", path.display()),
            ))
        }
    };
    let all = |key: &str, paths: Vec<PathBuf>| {
        paths
            .into_iter()
            .enumerate()
            .map(|(at, path)| existing(&format!("geo.{key}[{at}]"), path))
            .collect::<Result<_, _>>()
    };
    Ok(geo_db::Sources {
        databases: all("databases", file.databases)?,
        asn: all("asn", file.asn)?,
        overrides: file
            .overrides
            .map(|path| existing("geo.overrides", path))
            .transpose()?,
    })
}

fn http_limits(file: LimitsFile) -> Result<HttpLimits, Invalid> {
    let header_bytes = usize::try_from(file.header_size.get()).unwrap_or(usize::MAX);
    if !(8 << 10..=1 << 20).contains(&header_bytes) {
        return Err(Invalid::new(
            "limits.header_size",
            "must be between 8KiB and 1MiB",
        ));
    }
    Ok(HttpLimits {
        header_bytes,
        header_timeout: file.header_timeout.get(),
        handshake_timeout: file.handshake_timeout.get(),
        concurrent_streams: file.concurrent_streams,
    })
}
