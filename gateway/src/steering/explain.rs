//! A decision in words, for `gateway explain` and the admin API.

use std::net::IpAddr;

use geo_db::{CostTable, GeoDb, Location};
use serde::{Deserialize, Serialize};

use super::{Standing, rank, spread};
use crate::region::{RegionIndex, RegionSet, Status};

/// Where a client would be answered, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The client.
    pub client: IpAddr,
    /// ISO 3166 code of its country, where known.
    pub country: Option<String>,
    /// Its latitude in degrees, where known.
    pub latitude: Option<f32>,
    /// Its longitude in degrees, where known.
    pub longitude: Option<f32>,
    /// Radius in kilometres within which it probably is.
    pub accuracy_km: Option<f32>,
    /// Its autonomous system, where the data has it.
    pub asn: Option<u32>,
    /// What its place was read from.
    pub source: String,
    /// The region that would be best if everything were up.
    pub nearest: Option<String>,
    /// Whether health is that of a running gateway; otherwise every region is taken to be up.
    pub live: bool,
    /// The regions, best first.
    pub places: Vec<ExplainedPlace>,
}

/// One region of the ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedPlace {
    /// The region.
    pub region: String,
    /// Why it stands here.
    pub reason: String,
    /// Whether requests may be sent there.
    pub usable: bool,
    /// Expected round trip to the client in milliseconds.
    pub expected_rtt_ms: Option<f32>,
    /// Great-circle distance to the client in kilometres.
    pub km: Option<f32>,
    /// How it is doing.
    pub status: String,
    /// The part of its users that it gets, 0 to 1.
    pub share: f32,
}

/// Explains the ranking for `client`, with `standing` of each region.
pub fn explain(
    regions: &RegionSet,
    geo: &GeoDb,
    costs: &CostTable,
    client: IpAddr,
    standing: impl Fn(RegionIndex) -> Standing,
    live: bool,
) -> Explanation {
    let location: Location = geo.lookup(client);
    let standings: Vec<Standing> = regions.iter().map(|(index, _)| standing(index)).collect();
    let decision = rank(
        &costs.nearest(&location),
        &standings,
        spread(client),
        regions.own_index(),
    );
    let name = |region: RegionIndex| regions.of(region).name.to_string();
    Explanation {
        client,
        country: location.country.map(|country| country.to_string()),
        latitude: location.point.map(|point| point.lat),
        longitude: location.point.map(|point| point.lon),
        accuracy_km: location.point.map(|_| location.accuracy_km),
        asn: location.asn,
        source: location.source.as_str().to_owned(),
        nearest: decision.ideal.map(name),
        live,
        places: decision
            .places
            .iter()
            .map(|place| ExplainedPlace {
                region: name(place.region),
                reason: place.reason.as_str().to_owned(),
                usable: place.reason.is_usable(),
                expected_rtt_ms: place.rtt_ms,
                km: place.km,
                status: standings[place.region.get()].status.as_str().to_owned(),
                share: standings[place.region.get()].share,
            })
            .collect(),
    }
}

/// Every region is up and has everything, for when no gateway runs that could be asked.
pub const ALL_UP: Standing = Standing {
    has_upstream: true,
    works: true,
    status: Status::Up,
    share: 1.0,
};
