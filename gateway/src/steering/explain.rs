//! A decision in words, for `gateway explain` and the admin API.

use std::net::IpAddr;

use geo_db::{CostTable, GeoDb, Location};
use serde::{Deserialize, Serialize};

use super::{Exploration, Prefix, Snapshot, Stage, Standing, decide, explore, spread};
use crate::region::{RegionIndex, RegionSet};

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
    /// The region that a DNS answer or redirect would name now, where that is one to try out.
    #[serde(default)]
    pub explores: Option<String>,
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
    /// Where that comes from: `measured`, `model`, `pinned` or `none`.
    #[serde(default)]
    pub rtt_source: String,
    /// Great-circle distance to the client in kilometres.
    pub km: Option<f32>,
    /// How it is doing.
    pub status: String,
    /// The part of its users that it gets as it returns, 0 to 1.
    pub share: f32,
    /// The part of its users that its load lets it keep, 0 to 1.
    pub load_share: f32,
}

/// What was learnt, as a decision uses it.
#[derive(Clone, Copy, Debug)]
pub struct Learnt<'a> {
    /// Measured round trips.
    pub snapshot: &'a Snapshot,
    /// How much is tried out.
    pub exploration: Exploration,
    /// Seconds since 1970.
    pub now: u64,
}

/// Explains the ranking for `client`, with `standing` of each region.
pub fn explain(
    regions: &RegionSet,
    geo: &GeoDb,
    costs: &CostTable,
    client: IpAddr,
    learnt: Option<Learnt<'_>>,
    standing: impl Fn(RegionIndex) -> Standing,
    live: bool,
) -> Explanation {
    let location: Location = geo.lookup(client);
    let standings: Vec<Standing> = regions.iter().map(|(index, _)| standing(index)).collect();
    let measured = learnt.and_then(|learnt| learnt.snapshot.get(Prefix::of(client)));
    let (decision, sources) = decide(
        costs.nearest(&location),
        measured,
        &standings,
        spread(client),
        regions.own_index(),
    );
    let name = |region: RegionIndex| regions.of(region).name.to_string();
    let explores = learnt.and_then(|learnt| {
        let (mut tried, how) = (decision.clone(), learnt.exploration);
        let explores = explore(&mut tried, &sources, how, client, learnt.now, Stage::Answer);
        explores.then(|| tried.best().map(name)).flatten()
    });
    Explanation {
        client,
        country: location.country.map(|country| country.to_string()),
        latitude: location.point.map(|point| point.lat),
        longitude: location.point.map(|point| point.lon),
        accuracy_km: location.point.map(|_| location.accuracy_km),
        asn: location.asn,
        source: location.source.as_str().to_owned(),
        nearest: decision.ideal.map(name),
        explores,
        live,
        places: decision
            .places
            .iter()
            .map(|place| ExplainedPlace {
                region: name(place.region),
                reason: place.reason.as_str().to_owned(),
                usable: place.reason.is_usable(),
                expected_rtt_ms: place.rtt_ms,
                rtt_source: place.source.as_str().to_owned(),
                km: place.km,
                status: standings[place.region.get()].status.as_str().to_owned(),
                share: standings[place.region.get()].share,
                load_share: standings[place.region.get()].spill.share,
            })
            .collect(),
    }
}

/// Every region is up and has everything, for when no gateway runs that could be asked.
pub const ALL_UP: Standing = Standing::UP;
