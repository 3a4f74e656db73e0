//! From what is written to what it means. Every fault names the key that it is at.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use geo_db::{Point, RegionSlug};
use http::header::HeaderName;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, StatusCode, Uri};
use serving::config::Invalid;
use serving::listener::{HttpLimits, ProxyProtocol, TlsFile};
use serving::secret::Secret;
use serving::telemetry::LogFile;

use super::file::{
    ActionFile, AssetServerFile, File, GeoFile, HealthCheckFile, LimitsFile, ListenerFile,
    MatchFile, PathFile, RegionFile, TimeoutsFile, UpstreamFile,
};
use super::fixed::Fixed;
use crate::client_addr::TrustedProxies;
use crate::gateway::RegionCheck;
use crate::region::{Address, HealthPolicy, MAX_REGIONS, Region, RegionSet};
use crate::route::{HostPattern, InvalidPattern, Matcher, PathPattern, SteeringMode};
use crate::upstream::{HealthCheck, Timeouts};

/// A complete configuration.
#[derive(Debug)]
pub struct Config {
    /// All regions.
    pub regions: RegionSet,
    /// Addresses to listen on.
    pub listeners: Vec<ListenerConfig>,
    /// Address of the private listener.
    pub admin: SocketAddr,
    /// The token that changing anything needs.
    pub admin_token: Option<Secret>,
    /// What is logged.
    pub log: LogFile,
    /// Threads that answer requests; `None` means one a core.
    pub workers: Option<usize>,
    /// Whose word about the client is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where other regions' requests come from.
    pub peers: TrustedProxies,
    /// Where addresses are.
    pub geo: geo_db::Sources,
    /// When a region counts as down or up.
    pub health_policy: HealthPolicy,
    /// How often regions ask each other.
    pub health_check: RegionCheck,
    /// Timers of carried requests.
    pub mesh_timeouts: Timeouts,
    /// Requests inside at once.
    pub requests_in_flight: usize,
    /// What one connection may ask.
    pub http_limits: HttpLimits,
    /// Files with certificate authorities.
    pub certificate_authorities: Vec<PathBuf>,
    /// Where assets come from.
    pub asset_server: Option<AssetServerConfig>,
    /// Services that routes point to.
    pub upstreams: Vec<UpstreamConfig>,
    /// Which requests go where.
    pub routes: Vec<RouteConfig>,
    /// Time that requests in flight have to finish.
    pub drain_timeout: Duration,
    /// What only a restart changes.
    pub fixed: Fixed,
}

/// One address to listen on.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Name in logs and metrics.
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Whether other processes may listen there, too.
    pub share_port: bool,
    /// Certificates; empty means plain HTTP.
    pub tls: Vec<TlsFile>,
    /// The PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
}

/// Where assets come from.
#[derive(Debug)]
pub enum AssetServerConfig {
    /// The asset server in this process.
    Embedded(asset_server::Config),
    /// Asset servers of their own.
    Remote(UpstreamConfig),
}

/// A service that routes point to.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// Its name.
    pub name: String,
    /// Its addresses in this region.
    pub endpoints: Vec<(Scheme, Authority)>,
    /// Which regions have it, by region index.
    pub available: [bool; MAX_REGIONS],
    /// Whether it speaks HTTP/2 without being asked.
    pub http2: bool,
    /// Its timers.
    pub timeouts: Timeouts,
    /// How its endpoints are checked.
    pub health_check: Option<HealthCheck>,
}

/// One route.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name.
    pub name: String,
    /// Its conditions.
    pub matcher: Matcher,
    /// What to do when the client's best region is another one.
    pub steering: SteeringMode,
    /// What answers, by index into `upstreams` where it is one.
    pub action: ActionConfig,
}

/// What answers a route.
#[derive(Debug)]
pub enum ActionConfig {
    /// The asset server.
    Assets,
    /// An upstream.
    Upstream {
        /// Its index.
        index: usize,
        /// Taken off the path.
        strip_prefix: Option<String>,
    },
    /// Another place.
    Redirect(StatusCode, String),
    /// A fixed answer.
    Respond(StatusCode, HeaderValue, Bytes),
}

impl Config {
    /// Which regions can answer a route, by region index.
    pub fn available(&self, route: &str) -> Option<[bool; MAX_REGIONS]> {
        let route = self
            .routes
            .iter()
            .find(|candidate| candidate.name == route)?;
        Some(match &route.action {
            ActionConfig::Upstream { index, .. } => self.upstreams[*index].available,
            _ => [true; MAX_REGIONS],
        })
    }
}

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
    let regions = regions(&file.regions, &file.region)?;
    let upstreams: Vec<UpstreamConfig> = file
        .upstreams
        .iter()
        .map(|(name, upstream)| {
            self::upstream(name, upstream, &regions)
                .map_err(|e| e.within(format!("upstreams.{name}")))
        })
        .collect::<Result<_, _>>()?;
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
            Some(AssetServerConfig::Embedded(resolved))
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
            let located = |e: Invalid| e.within(format!("routes[{at}]"));
            Ok(RouteConfig {
                name: route.name,
                matcher: matcher.map_err(located)?,
                steering: route.steering,
                action: action.map_err(located)?,
            })
        })
        .collect::<Result<_, Invalid>>()?;
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
    Ok(Config {
        regions,
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
        health_check: RegionCheck {
            interval: positive("steering.health_check.interval", check.interval)?,
            timeout: check.timeout.get(),
        },
        mesh_timeouts: timeouts(file.steering.timeouts),
        requests_in_flight: file.limits.requests_in_flight,
        http_limits: http_limits(file.limits)?,
        certificate_authorities: file
            .certificate_authorities
            .iter()
            .map(|path| directory.join(path))
            .collect(),
        asset_server,
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

fn regions(files: &[RegionFile], own: &str) -> Result<RegionSet, Invalid> {
    if files.len() > MAX_REGIONS {
        return Err(Invalid::new(
            "regions",
            format!("at most {MAX_REGIONS} regions are supported"),
        ));
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let absent = || {
        Invalid::new(
            "region",
            format!("{own:?} is not among the regions: {}", names.join(", ")),
        )
    };
    if !names.contains(&own) {
        return Err(absent());
    }
    let regions = files
        .iter()
        .enumerate()
        .map(|(at, file)| region(file, own).map_err(|e| e.within(format!("regions[{at}]"))));
    let regions = regions.collect::<Result<Vec<_>, _>>()?;
    RegionSet::new(regions, own).ok_or_else(absent)
}

fn region(file: &RegionFile, own: &str) -> Result<Region, Invalid> {
    let name: RegionSlug = file
        .name
        .parse()
        .map_err(|error| Invalid::new("name", error))?;
    let written = file.location.map(|location| Point {
        lat: location.latitude,
        lon: location.longitude,
    });
    if written.is_some_and(|point| point.lat.abs() > 90.0 || point.lon.abs() > 180.0) {
        return Err(Invalid::new(
            "location",
            "latitude is within ±90 degrees, longitude within ±180",
        ));
    }
    let point = written.or_else(|| geo_db::region(&file.name).map(|known| known.point));
    let point = point.ok_or_else(|| {
        Invalid::new(
            "name",
            format!(
                "{:?} is no DigitalOcean region, so it needs a location",
                file.name
            ),
        )
    })?;
    let address = file
        .address
        .as_deref()
        .map(address)
        .transpose()
        .map_err(|e| e.within("address"))?;
    if address.is_none() && file.name != own {
        return Err(Invalid::new(
            "",
            "other regions need an address, such as https://ams3.edge.example.com",
        ));
    }
    let public_url = file
        .public_url
        .as_deref()
        .map(|url| address_text(url).map_err(|e| e.within("public_url")))
        .transpose()?;
    let address = address.map(|(scheme, authority)| Address { scheme, authority });
    Ok(Region::new(name, point, address, public_url))
}

fn address_text(url: &str) -> Result<String, Invalid> {
    address(url).map(|(scheme, authority)| format!("{scheme}://{authority}"))
}

/// Scheme, host and port of `http://host:port`.
fn address(url: &str) -> Result<(Scheme, Authority), Invalid> {
    let wrong = || {
        Invalid::new(
            "",
            format!("{url:?} is not an address such as http://10.0.0.7:8080"),
        )
    };
    let parts = url.parse::<Uri>().map_err(|_| wrong())?.into_parts();
    let path_is_empty = parts.path_and_query.is_none_or(|path| path == "/");
    match (parts.scheme, parts.authority) {
        (Some(scheme), Some(authority))
            if path_is_empty && (scheme == Scheme::HTTP || scheme == Scheme::HTTPS) =>
        {
            Ok((scheme, authority))
        }
        _ => Err(wrong()),
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

fn timeouts(file: TimeoutsFile) -> Timeouts {
    Timeouts {
        connect: file.connect.get(),
        first_byte: file.first_byte.get(),
        idle: file.idle.get(),
    }
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

fn upstream(
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

fn matcher(file: &MatchFile) -> Result<Matcher, Invalid> {
    let at = |key: &'static str| move |error: InvalidPattern| Invalid::new(key, error);
    let host = file
        .host
        .as_deref()
        .map(HostPattern::parse)
        .transpose()
        .map_err(at("host"))?;
    let path = match &file.path {
        None => None,
        Some(PathFile::Prefix(text)) => Some(PathPattern::prefix(text).map_err(at("path.prefix"))?),
        Some(PathFile::Exact(text)) => Some(PathPattern::exact(text).map_err(at("path.exact"))?),
        Some(PathFile::Template(text)) => {
            Some(PathPattern::template(text).map_err(at("path.template"))?)
        }
    };
    let method = |(at, text): (usize, &String)| {
        let known = text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let parsed = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
        parsed.ok_or_else(|| {
            Invalid::new(
                format!("methods[{at}]"),
                format!("{text:?} is not a method such as GET"),
            )
        })
    };
    let header = |(name, value): (&String, &String)| {
        let wrong = || Invalid::new(format!("headers.{name}"), "is not a header and its value");
        let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = pair {
            Ok((name, value))
        } else {
            Err(wrong())
        }
    };
    Ok(Matcher {
        host: host.unwrap_or_default(),
        path: path.unwrap_or_default(),
        methods: file
            .methods
            .iter()
            .enumerate()
            .map(method)
            .collect::<Result<_, _>>()?,
        headers: file.headers.iter().map(header).collect::<Result<_, _>>()?,
    })
}

fn action(
    file: ActionFile,
    upstreams: &[UpstreamConfig],
    has_assets: bool,
) -> Result<ActionConfig, Invalid> {
    match file {
        ActionFile::Assets if has_assets => Ok(ActionConfig::Assets),
        ActionFile::Assets => Err(Invalid::new("", "assets need an asset_server")),
        ActionFile::Upstream { name, strip_prefix } => {
            let index = upstreams.iter().position(|upstream| upstream.name == name);
            let index = index.ok_or_else(|| {
                Invalid::new(
                    "upstream.name",
                    format!("{name:?} is not among the upstreams"),
                )
            })?;
            Ok(ActionConfig::Upstream {
                index,
                strip_prefix,
            })
        }
        ActionFile::Redirect { status, to } => {
            let status = StatusCode::from_u16(status)
                .ok()
                .filter(|status| [301, 302, 303, 307, 308].contains(&status.as_u16()));
            let status = status.ok_or_else(|| {
                Invalid::new("redirect.status", "must be 301, 302, 303, 307 or 308")
            })?;
            HeaderValue::try_from(&to)
                .map_err(|_| Invalid::new("redirect.to", "is not a header value"))?;
            Ok(ActionConfig::Redirect(status, to))
        }
        ActionFile::Respond {
            status,
            content_type,
            body,
        } => {
            let status = StatusCode::from_u16(status)
                .ok()
                .filter(|status| status.as_u16() >= 200);
            let status = status
                .ok_or_else(|| Invalid::new("respond.status", "must be between 200 and 999"))?;
            let content_type = HeaderValue::try_from(content_type)
                .map_err(|_| Invalid::new("respond.content_type", "is not a header value"))?;
            Ok(ActionConfig::Respond(
                status,
                content_type,
                Bytes::from(body),
            ))
        }
    }
}
