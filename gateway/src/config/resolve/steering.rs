//! Which regions are preferred, where data may be, and when regions spill.

use std::collections::{BTreeMap, BTreeSet};

use geo_db::Country;
use serving::config::Invalid;

use super::super::file::{
    AssetServerFile, PreferenceFile, RegionFile, ResidencyFile, SpillFile, TenantFile,
};
use super::positive;
use crate::region::{RegionIndex, RegionSet};
use crate::route::{HostPattern, Outside, Residency, Tenant, Tenants};
use crate::steering::{Preference, Preferences, SpillPolicy};

pub(super) fn spill(file: &SpillFile) -> Result<SpillPolicy, Invalid> {
    if !(0.1..=0.95).contains(&file.from) {
        return Err(Invalid::new(
            "from",
            "is a part of the capacity, between 0.1 and 0.95",
        ));
    }
    Ok(SpillPolicy {
        from: file.from,
        growth: positive("growth", file.growth)?,
    })
}

/// The weight of each region; not all can be 0, since somebody must have users.
pub(super) fn weights(files: &[RegionFile]) -> Result<(), Invalid> {
    for (at, file) in files.iter().enumerate() {
        if !(0.0..=1.0).contains(&file.weight) {
            return Err(Invalid::new(
                format!("regions[{at}].weight"),
                "is the part of its users that a region gets, between 0 and 1",
            ));
        }
    }
    if files.iter().all(|file| file.weight <= 0.0) {
        return Err(Invalid::new(
            "regions",
            "every weight is 0, so no region would have users",
        ));
    }
    Ok(())
}

/// The regions of a list, each once.
pub(super) fn listed(names: &[String], regions: &RegionSet) -> Result<Vec<RegionIndex>, Invalid> {
    let mut seen = BTreeSet::new();
    let names = names.iter().enumerate();
    let one = |(at, name): (usize, &String)| {
        let at = format!("[{at}]");
        let Some(index) = regions.find(name) else {
            return Err(Invalid::new(
                at,
                format!("{name:?} is not among the regions"),
            ));
        };
        if seen.insert(index) {
            Ok(index)
        } else {
            Err(Invalid::new(at, format!("{name:?} is there twice")))
        }
    };
    names.map(one).collect()
}

pub(super) fn preference(names: &[String], regions: &RegionSet) -> Result<Preference, Invalid> {
    listed(names, regions).map(Preference::new)
}

pub(super) fn preferences(
    files: &[PreferenceFile],
    regions: &RegionSet,
) -> Result<Preferences, Invalid> {
    let mut preferences = Preferences::default();
    for (at, file) in files.iter().enumerate() {
        let within = |key: &str| format!("steering.preference[{at}]{key}");
        if file.countries.is_empty() && file.networks.is_empty() {
            return Err(Invalid::new(
                within(""),
                "needs countries or networks that it is for",
            ));
        }
        if file.regions.is_empty() {
            return Err(Invalid::new(
                within(".regions"),
                "needs at least one region",
            ));
        }
        let countries = file.countries.iter().enumerate();
        let countries = countries.map(|(at, code)| {
            code.parse::<Country>()
                .map_err(|error| Invalid::new(within(&format!(".countries[{at}]")), error))
        });
        let list = preference(&file.regions, regions).map_err(|e| e.within(within(".regions")))?;
        preferences.add(
            countries.collect::<Result<_, _>>()?,
            file.networks.clone(),
            list,
        );
    }
    Ok(preferences)
}

pub(super) fn residency(
    names: &[String],
    outside: Outside,
    regions: &RegionSet,
) -> Result<Residency, Invalid> {
    if names.is_empty() {
        return Err(Invalid::new("regions", "needs at least one region"));
    }
    let allowed = listed(names, regions).map_err(|e| e.within("regions"))?;
    Ok(Residency::only(allowed, outside))
}

pub(super) fn route_residency(
    file: Option<&ResidencyFile>,
    regions: &RegionSet,
) -> Result<Residency, Invalid> {
    match file {
        Some(file) => residency(&file.regions, file.outside, regions),
        None => Ok(Residency::ANYWHERE),
    }
}

pub(super) fn tenants(
    files: &BTreeMap<String, TenantFile>,
    regions: &RegionSet,
) -> Result<Tenants, Invalid> {
    let mut taken = BTreeSet::new();
    let mut tenants = Vec::new();
    for (name, file) in files {
        let within = |key: &str| format!("tenants.{name}.{key}");
        if file.hosts.is_empty() {
            return Err(Invalid::new(within("hosts"), "needs at least one host"));
        }
        let mut hosts = Vec::new();
        for (at, host) in file.hosts.iter().enumerate() {
            let key = within(&format!("hosts[{at}]"));
            let pattern = HostPattern::parse(host).map_err(|error| Invalid::new(&*key, error))?;
            if pattern == HostPattern::Any {
                return Err(Invalid::new(key, "every host cannot be one tenant's"));
            }
            if !taken.insert(pattern.to_string()) {
                return Err(Invalid::new(key, format!("{host:?} is there twice")));
            }
            hosts.push(pattern);
        }
        let residency = match &file.residency {
            Some(file) => residency(&file.regions, file.outside, regions)
                .map_err(|e| e.within(within("residency")))?,
            None => Residency::ANYWHERE,
        };
        let preference =
            preference(&file.preference, regions).map_err(|e| e.within(within("preference")))?;
        tenants.push(Tenant {
            name: name.as_str().into(),
            hosts,
            residency,
            preference,
        });
    }
    Ok(Tenants::new(tenants))
}

/// A shield is asked with the paths of this region's users and keeps what it answers, so it must be
/// where all data that has a residency may be.
pub(super) fn shield_is_resident<'a>(
    assets: Option<&AssetServerFile>,
    residencies: impl Iterator<Item = (String, &'a Residency)>,
    regions: &RegionSet,
) -> Result<(), Invalid> {
    let Some(AssetServerFile::Embedded(file)) = assets else {
        return Ok(());
    };
    let mounts = file.mounts.iter().enumerate();
    let shields = mounts.filter_map(|(at, mount)| Some((at, mount.shield.as_ref()?)));
    let own = regions.own().name;
    let shields: Vec<_> = shields
        .filter(|(_, shield)| shield.region != own.as_str())
        .map(|(at, shield)| (at, shield.region.as_str()))
        .collect();
    let leak = residencies
        .filter(|(_, residency)| **residency != Residency::ANYWHERE)
        .find_map(|(key, residency)| {
            let is_outside = |name| {
                regions
                    .find(name)
                    .is_none_or(|shield| !residency.allows(shield))
            };
            let (at, name) = shields.iter().find(|(_, name)| is_outside(name))?;
            Some((*at, *name, key))
        });
    match leak {
        None => Ok(()),
        Some((at, name, key)) => Err(Invalid::new(
            format!("asset_server.embedded.mounts[{at}].shield.region"),
            format!("the shield {name:?} would hold data that {key} keeps out of it"),
        )),
    }
}
