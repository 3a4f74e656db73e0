//! The rules of the ranking, as a pure function.

use arrayvec::ArrayVec;
use geo_db::Ranked;

use super::decision::{Decision, Place, Reason};
use crate::region::{MAX_REGIONS, RegionIndex, Status};

/// Regions that are tried when nothing seems to be up.
const FAIL_OPEN: usize = 3;

/// What steering needs to know of one region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether the route can be served there at all.
    pub has_upstream: bool,
    /// Whether what the route needs works there, as the region says of itself.
    pub works: bool,
    /// Its health.
    pub status: Status,
    /// The part of its users that it should get, 0 to 1.
    pub share: f32,
}

/// Ranks the regions for one client.
///
/// `proximity` lists every region, nearest first. `standing` is indexed by region. `spread` says which
/// part of a region's users this client belongs to, in `[0, 1)`. `own` is preferred where the client's
/// place is not known.
///
/// Rules, in this order: regions without the route's upstream are out; regions that are down, draining,
/// or have lost what the route needs are out; a region in slow start stands behind the others for the clients it does not get
/// yet; the rest go by expected round trip. If that leaves nothing, the nearest three that have the
/// upstream are tried all the same.
pub fn rank(
    proximity: &[Ranked],
    standing: &[Standing],
    spread: f32,
    own: RegionIndex,
) -> Decision {
    let mut places: ArrayVec<(u8, Place), MAX_REGIONS> = ArrayVec::new();
    let mut ideal = None;
    for near in proximity.iter().take(MAX_REGIONS) {
        let Some(stands) = standing.get(near.index) else {
            continue;
        };
        let Ok(index) = u8::try_from(near.index) else {
            continue;
        };
        let region = RegionIndex(index);
        let rtt_ms = near.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0);
        if stands.has_upstream && ideal.is_none() {
            ideal = Some(region).filter(|_| near.pinned || rtt_ms.is_some());
        }
        let reason = match stands.status {
            _ if !stands.has_upstream => Reason::WithoutUpstream,
            Status::Down => Reason::Down,
            Status::Draining => Reason::Draining,
            Status::Up | Status::Unknown if !stands.works => Reason::NotWorking,
            Status::Up | Status::Unknown if spread >= stands.share => Reason::SlowStart,
            Status::Up | Status::Unknown if near.pinned => Reason::Pinned,
            Status::Up | Status::Unknown if rtt_ms.is_none() => Reason::UnknownLocation,
            Status::Up | Status::Unknown => Reason::Farther,
        };
        let class = match reason {
            Reason::Pinned => 0,
            Reason::UnknownLocation if region == own => 0,
            Reason::UnknownLocation | Reason::Farther => 1,
            Reason::SlowStart => 2,
            Reason::Draining | Reason::NotWorking => 3,
            Reason::Down => 4,
            _ => 5,
        };
        places.push((
            class,
            Place {
                region,
                reason,
                km: near.km,
                rtt_ms,
            },
        ));
    }
    // Stable: within a class the order by expected round trip stays.
    places.sort_by_key(|(class, _)| *class);

    let mut places: ArrayVec<Place, MAX_REGIONS> =
        places.into_iter().map(|(_, place)| place).collect();
    if let Some(first) = places
        .first_mut()
        .filter(|first| first.reason == Reason::Farther)
    {
        first.reason = Reason::Nearest;
    }
    if !places.iter().any(|place| place.reason.is_usable()) {
        let left = places
            .iter_mut()
            .filter(|place| place.reason != Reason::WithoutUpstream);
        left.take(FAIL_OPEN)
            .for_each(|place| place.reason = Reason::FailOpen);
    }
    Decision { places, ideal }
}

#[cfg(test)]
mod tests;
