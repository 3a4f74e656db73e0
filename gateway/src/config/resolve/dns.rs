//! DNS: zones are built, and what no resolver could use is refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serving::config::Invalid;
use serving::units::Duration;

use super::super::DnsConfig;
use super::super::dns_file::{DnsFile, NameServerFile, RecordFile, SteeredFile, ZoneFile};
use super::super::file::RegionFile;
use crate::dns::{
    CookieSecret, NameServer, RateLimit, RegionAddresses, Soa, SteeredName, Zone, ZoneRecord,
    Zones, record_data, wire_name,
};

/// Longest time that resolvers may be told to keep something (RFC 2181 8).
const MAX_TTL: u64 = (1 << 31) - 1;

pub(super) fn dns(
    file: DnsFile,
    regions: &[RegionFile],
    directory: &Path,
) -> Result<DnsConfig, Invalid> {
    if file.listen.is_empty() {
        return Err(Invalid::new("listen", "at least one address is needed"));
    }
    if file.zones.is_empty() {
        return Err(Invalid::new("zones", "at least one zone is needed"));
    }
    twice(&file.listen)?;
    let secret = match &file.cookie_secret {
        None => CookieSecret(fastrand::u128(..).to_be_bytes()),
        Some(source) => {
            let secret = source
                .load(directory)
                .map_err(|e| Invalid::new("cookie_secret", e))?;
            let digits = Some(secret.expose()).filter(|digits| digits.len() == 32);
            let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
            let number = number
                .ok_or_else(|| Invalid::new("cookie_secret", "it is not 32 hexadecimal digits"))?;
            CookieSecret(number.to_be_bytes())
        }
    };
    let mut names = BTreeMap::new();
    let mut zones = Vec::new();
    for (at, zone) in file.zones.iter().enumerate() {
        let located = |e: Invalid| e.within(format!("zones[{at}]"));
        let zone = self::zone(zone, regions).map_err(located)?;
        if names.insert(zone.apex.clone(), at).is_some() {
            return Err(Invalid::new(
                format!("zones[{at}].name"),
                "the zone is there twice",
            ));
        }
        zones.push(zone);
    }
    Ok(DnsConfig {
        listen: file.listen,
        share_port: file.share_port,
        secret,
        tcp_connections: file.tcp.connections,
        tcp_idle: super::positive("tcp.idle", file.tcp.idle)?,
        rate_limit: RateLimit {
            responses: file.rate_limit.responses_per_second,
            errors: file.rate_limit.errors_per_second,
            slip: file.rate_limit.slip,
            exempt: file.rate_limit.exempt,
        },
        zones: Zones::new(zones, regions.iter().map(addresses).collect()),
    })
}

/// Regions must not share an address: an answer could not say which of them is meant, nor leave one out. And a
/// client with IPv6 must not be led past its best region because that has none.
pub(super) fn region_addresses(regions: &[RegionFile]) -> Result<(), Invalid> {
    let mut seen: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for (at, region) in regions.iter().enumerate() {
        for (nth, address) in region.addresses.iter().enumerate() {
            let key = || format!("regions[{at}].addresses[{nth}]");
            if address.is_unspecified() || address.is_multicast() {
                return Err(Invalid::new(
                    key(),
                    format!("{address} is nobody's address"),
                ));
            }
            if let Some(other) = seen.insert(*address, &region.name) {
                let reason = format!("{address} is also an address of {other}");
                return Err(Invalid::new(key(), reason));
            }
        }
    }
    let lists = regions
        .iter()
        .enumerate()
        .filter(|(_, region)| !region.addresses.is_empty());
    for (family, is_of) in [
        ("IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
        ("IPv6", IpAddr::is_ipv6),
    ] {
        let has = |region: &RegionFile| region.addresses.iter().any(is_of);
        let without = lists.clone().find(|(_, region)| !has(region));
        let with = lists.clone().find(|(_, region)| has(region));
        if let (Some((at, _)), Some((_, with))) = (without, with) {
            let reason = format!(
                "it has no {family} address, but {} has: clients with {family} would be led past it",
                with.name
            );
            return Err(Invalid::new(format!("regions[{at}].addresses"), reason));
        }
    }
    Ok(())
}

fn twice(listen: &[SocketAddr]) -> Result<(), Invalid> {
    for (at, address) in listen.iter().enumerate() {
        if address.port() != 0 && listen[..at].contains(address) {
            return Err(Invalid::new(
                format!("listen[{at}]"),
                "the address is there twice",
            ));
        }
    }
    Ok(())
}

fn addresses(region: &RegionFile) -> RegionAddresses {
    let mut addresses = RegionAddresses::default();
    for address in &region.addresses {
        match address {
            IpAddr::V4(v4) => addresses.v4.push(*v4),
            IpAddr::V6(v6) => addresses.v6.push(*v6),
        }
    }
    addresses
}

fn zone(file: &ZoneFile, regions: &[RegionFile]) -> Result<Zone, Invalid> {
    let apex = wire_name(&file.name, None).map_err(|e| Invalid::new("name", e))?;
    let default_ttl = ttl("ttl", file.ttl)?;
    let servers = file.name_servers.iter().enumerate();
    let servers = servers.map(|(at, server)| {
        name_server(server, &apex, regions).map_err(|e| e.within(format!("name_servers[{at}]")))
    });
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let Some(primary) = servers.first() else {
        return Err(Invalid::new("name_servers", "a zone needs a name server"));
    };
    let mailbox = wire_name(&file.soa.mailbox, Some(&apex));
    let soa = Soa {
        ttl: default_ttl,
        primary: primary.name.clone(),
        mailbox: mailbox.map_err(|e| Invalid::new("soa.mailbox", e))?,
        refresh: ttl("soa.refresh", file.soa.refresh)?,
        retry: ttl("soa.retry", file.soa.retry)?,
        expire: ttl("soa.expire", file.soa.expire)?,
        minimum: ttl("soa.negative_ttl", file.soa.negative_ttl)?,
    };
    let any_address = regions.iter().any(|region| !region.addresses.is_empty());
    if !file.steered.is_empty() && !any_address {
        return Err(Invalid::new(
            "steered",
            "no region has addresses that could be answered",
        ));
    }
    let mut steered: Vec<(Box<[u8]>, SteeredName)> = Vec::new();
    for (at, name) in file.steered.iter().enumerate() {
        let name = steered_name(name, &apex).map_err(|e| e.within(format!("steered[{at}]")))?;
        if steered.iter().any(|(other, _)| *other == name.0) {
            return Err(Invalid::new(
                format!("steered[{at}].name"),
                "the name is there twice",
            ));
        }
        steered.push(name);
    }
    let mut records = Vec::new();
    for (at, record) in file.records.iter().enumerate() {
        let located = |e: Invalid| e.within(format!("records[{at}]"));
        records.extend(self::records(record, &apex, default_ttl).map_err(located)?);
    }
    Zone::new(&apex, soa, &servers, steered, records).map_err(|e| Invalid::new("", e))
}

fn name_server(
    file: &NameServerFile,
    apex: &[u8],
    regions: &[RegionFile],
) -> Result<NameServer, Invalid> {
    let name = wire_name(&file.name, Some(apex)).map_err(|e| Invalid::new("name", e))?;
    let region = regions.iter().find(|region| region.name == file.region);
    let region = region.ok_or_else(|| {
        Invalid::new(
            "region",
            format!("{:?} is not among the regions", file.region),
        )
    })?;
    let other = |address: &IpAddr| {
        let others = regions.iter().filter(|other| other.name != region.name);
        others
            .into_iter()
            .find(|other| other.addresses.contains(address))
    };
    if let Some((address, other)) = file.addresses.iter().find_map(|a| Some((a, other(a)?))) {
        let reason = format!(
            "{address} is an address of {}, not of {}",
            other.name, region.name
        );
        return Err(Invalid::new("addresses", reason));
    }
    let addresses = match file.addresses.as_slice() {
        [] => region.addresses.clone(),
        own => own.to_vec(),
    };
    Ok(NameServer { name, addresses })
}

fn steered_name(file: &SteeredFile, apex: &[u8]) -> Result<(Box<[u8]>, SteeredName), Invalid> {
    let name = wire_name(&file.name, Some(apex)).map_err(|e| Invalid::new("name", e))?;
    if file.answers == 0 {
        return Err(Invalid::new("answers", "at least 1 is needed"));
    }
    let mut alpn = Vec::new();
    for (at, protocol) in file.alpn.iter().enumerate() {
        let length = u8::try_from(protocol.len())
            .ok()
            .filter(|length| *length > 0);
        let length = length.ok_or_else(|| {
            Invalid::new(format!("alpn[{at}]"), "a protocol has 1 to 255 characters")
        })?;
        alpn.push(length);
        alpn.extend_from_slice(protocol.as_bytes());
    }
    let steered = SteeredName {
        ttl: ttl("ttl", file.ttl)?,
        answers: file.answers,
        alpn: alpn.into(),
    };
    Ok((name, steered))
}

fn records(file: &RecordFile, apex: &[u8], default_ttl: u32) -> Result<Vec<ZoneRecord>, Invalid> {
    let name = wire_name(&file.name, Some(apex)).map_err(|e| Invalid::new("name", e))?;
    let ttl = file.ttl.map_or(Ok(default_ttl), |own| ttl("ttl", own))?;
    if file.values.is_empty() {
        return Err(Invalid::new("values", "at least one is needed"));
    }
    let values = file.values.iter().enumerate().map(|(at, value)| {
        let key = format!("values[{at}]");
        let (rtype, data) =
            record_data(apex, &file.rtype, value).map_err(|e| Invalid::new(key, e))?;
        Ok((name.clone(), rtype, ttl, data))
    });
    values.collect()
}

fn ttl(key: &str, written: Duration) -> Result<u32, Invalid> {
    let seconds = written.get().as_secs();
    if written.get().subsec_nanos() > 0 || seconds > MAX_TTL {
        return Err(Invalid::new(
            key,
            "must be whole seconds, and less than 68 years",
        ));
    }
    Ok(seconds as u32)
}
