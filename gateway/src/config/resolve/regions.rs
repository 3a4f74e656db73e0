//! Regions: names, places, and how they are reached.

use geo_db::{Point, RegionSlug};
use http::Uri;
use http::uri::{Authority, Scheme};
use serving::config::Invalid;

use super::super::file::RegionFile;
use crate::region::{Address, MAX_REGIONS, Region, RegionSet};

pub(super) fn regions(
    files: &[RegionFile],
    own: &str,
    has_mesh: bool,
) -> Result<RegionSet, Invalid> {
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
    let regions = files.iter().enumerate().map(|(at, file)| {
        region(file, own, has_mesh).map_err(|e| e.within(format!("regions[{at}]")))
    });
    let regions = regions.collect::<Result<Vec<_>, _>>()?;
    RegionSet::new(regions, own).ok_or_else(absent)
}

fn region(file: &RegionFile, own: &str, has_mesh: bool) -> Result<Region, Invalid> {
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
    let mesh = file
        .mesh
        .as_deref()
        .map(host_and_port)
        .transpose()
        .map_err(|e| e.within("mesh"))?;
    if mesh.is_some() && !has_mesh {
        return Err(Invalid::new(
            "mesh",
            "this gateway has no certificate to show there; give it a `mesh` section",
        ));
    }
    if address.is_none() && mesh.is_none() && file.name != own {
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
    Ok(Region::new(name, point, address, mesh, public_url).with_weight(file.weight))
}

fn address_text(url: &str) -> Result<String, Invalid> {
    address(url).map(|(scheme, authority)| format!("{scheme}://{authority}"))
}

/// `host:port`.
pub(super) fn host_and_port(text: &str) -> Result<Authority, Invalid> {
    let authority = text.parse::<Authority>().ok();
    let has_both = |authority: &Authority| {
        authority.port_u16().is_some_and(|port| port != 0) && !authority.host().is_empty()
    };
    authority
        .filter(|authority| has_both(authority) && !text.contains('@'))
        .ok_or_else(|| {
            Invalid::new(
                "",
                format!("{text:?} is not a host and port such as 10.0.0.7:7443"),
            )
        })
}

/// Scheme, host and port of `http://host:port`.
pub(super) fn address(url: &str) -> Result<(Scheme, Authority), Invalid> {
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
