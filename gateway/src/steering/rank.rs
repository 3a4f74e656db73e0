//! The rules of the ranking, as a pure function.

use arrayvec::ArrayVec;
use geo_db::Ranked;

use super::decision::{Decision, Place, Reason};
use super::spill::Spill;
use super::{ClientGroup, RttSource};
use crate::region::{MAX_REGIONS, RegionIndex, Status};

/// Regions that are tried when nothing seems to be up.
const FAIL_OPEN: usize = 3;

/// What steering needs to know of one region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether the route can be served there at all.
    pub has_upstream: bool,
    /// Whether the data of this tenant and route may be there.
    pub is_resident: bool,
    /// Whether what the route needs works there, as the region says of itself.
    pub works: bool,
    /// Its health.
    pub status: Status,
    /// Whether an operator has drained it.
    pub is_drained: bool,
    /// The part of its users that it should get as it returns, 0 to 1.
    pub share: f32,
    /// The part of its users that it gets while all is well, 0 to 1.
    pub weight: f32,
    /// What its load lets it keep and take in.
    pub spill: Spill,
    /// Its place in the preference list for this client and route; [`Standing::NOT_LISTED`] where none
    /// names it.
    pub preference: u8,
}

impl Standing {
    /// No preference list names the region.
    pub const NOT_LISTED: u8 = u8::MAX;

    /// A region that is up and has everything.
    pub const UP: Self = Self {
        has_upstream: true,
        is_resident: true,
        works: true,
        status: Status::Up,
        is_drained: false,
        share: 1.0,
        weight: 1.0,
        spill: Spill::NONE,
        preference: Self::NOT_LISTED,
    };

    /// Whether some of its users go elsewhere: which ones is a matter of their network.
    pub fn takes_a_part(&self) -> bool {
        let part = self.quota() * self.spill.share;
        self.has_upstream && self.is_resident && self.status.is_usable() && part > 0.0 && part < 1.0
    }

    /// The part of its users that it gets if it has room.
    pub(crate) fn quota(&self) -> f32 {
        self.share.min(self.weight)
    }
}

/// A place with what it is sorted by: classes first, then preference; then the order by round trip
/// stays.
type Sorted = ((u8, u8), Place);

/// Class of a region that this client is kept from for now, behind those that take it.
const KEPT_FROM: u8 = 5;

/// Ranks the regions for one client.
///
/// `proximity` lists every region, nearest first. `standing` is indexed by region. `spread` says which
/// part of a region's users this client belongs to, in `[0, 1)`. `own` is preferred where the client's
/// place is not known.
///
/// Rules, in this order: regions where the data must not be and those without the route's upstream are
/// out, whatever happens; regions that are down, draining, drained, or have lost what the route needs are
/// out; a region in slow start, or whose weight leaves the client to others, stands behind the others;
/// regions that a preference list names come in its order, the rest by expected round trip. If the first
/// is busy and this client is among those that it sends away, the regions that have room for it come
/// first. If that leaves nothing, the nearest three that have the upstream are tried all the same.
pub fn rank(
    proximity: &[Ranked],
    standing: &[Standing],
    spread: f32,
    own: RegionIndex,
) -> Decision {
    let mut places: ArrayVec<Sorted, MAX_REGIONS> = ArrayVec::new();
    let mut ideal: Option<(u8, RegionIndex)> = None;
    for near in proximity.iter().take(MAX_REGIONS) {
        let (Some(stands), Ok(index)) = (standing.get(near.index), u8::try_from(near.index)) else {
            continue;
        };
        let region = RegionIndex(index);
        let place = Place {
            region,
            reason: reason(stands, near, spread),
            km: near.km,
            rtt_ms: near.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0),
            source: RttSource::None,
        };
        let preference = if near.pinned { 0 } else { stands.preference };
        let candidate = stands.has_upstream && stands.is_resident;
        if candidate && ideal.is_none_or(|(before, _)| preference < before) {
            ideal = Some((preference, region));
        }
        places.push(((class(&place, stands, own), preference), place));
    }
    // With no place, no list and no pin nobody knows where it should be.
    let ideal = ideal.filter(|(preference, _)| {
        *preference < Standing::NOT_LISTED || proximity.iter().any(|near| near.rtt.is_some())
    });
    // Stable: within a class the order by expected round trip stays.
    places.sort_by_key(|(key, _)| *key);

    let home = places
        .first()
        .filter(|((class, _), _)| *class <= KEPT_FROM)
        .map(|(_, place)| place.region);
    spill(&mut places, standing, spread);

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
            .filter(|place| !matches!(place.reason, Reason::WithoutUpstream | Reason::Residency));
        left.take(FAIL_OPEN)
            .for_each(|place| place.reason = Reason::FailOpen);
    }
    Decision {
        places,
        ideal: ideal.map(|(_, region)| region),
        home,
        is_by_network: false,
        group: ClientGroup::of(None),
    }
}

/// Why a region has its place, load left out.
fn reason(stands: &Standing, near: &Ranked, spread: f32) -> Reason {
    match stands.status {
        _ if !stands.is_resident => Reason::Residency,
        _ if !stands.has_upstream => Reason::WithoutUpstream,
        _ if stands.is_drained => Reason::Drained,
        Status::Down => Reason::Down,
        Status::Draining => Reason::Draining,
        Status::Up | Status::Unknown if !stands.works => Reason::NotWorking,
        Status::Up | Status::Unknown if spread >= stands.share => Reason::SlowStart,
        Status::Up | Status::Unknown if near.pinned => Reason::Pinned,
        Status::Up | Status::Unknown if spread >= stands.weight => Reason::Weight,
        Status::Up | Status::Unknown if stands.preference < Standing::NOT_LISTED => {
            Reason::Preferred
        }
        Status::Up | Status::Unknown if near.rtt.is_none() => Reason::UnknownLocation,
        Status::Up | Status::Unknown => Reason::Farther,
    }
}

fn class(place: &Place, stands: &Standing, own: RegionIndex) -> u8 {
    match place.reason {
        Reason::Pinned => 0,
        Reason::Preferred => 1,
        Reason::UnknownLocation if place.region == own => 1,
        Reason::UnknownLocation | Reason::Farther => 2,
        Reason::Weight | Reason::SlowStart => KEPT_FROM,
        // What lives comes first should all be out of use.
        Reason::Drained if stands.status != Status::Down => 6,
        Reason::Draining | Reason::NotWorking => 6,
        Reason::Drained | Reason::Down => 7,
        _ => 8,
    }
}

/// Moves the first region behind those that have room, if this client is among those that it sends away.
fn spill(places: &mut ArrayVec<Sorted, MAX_REGIONS>, standing: &[Standing], spread: f32) {
    let of = |place: &Place| standing.get(place.region.get());
    let Some(((_, home), stands)) = places.first().zip(places.first().and_then(|(_, p)| of(p)))
    else {
        return;
    };
    // An operator's pin holds, and whom a region is not given at all it cannot send away.
    let takes_part = matches!(
        home.reason,
        Reason::Preferred | Reason::Farther | Reason::UnknownLocation
    );
    if !takes_part || spread < stands.quota() * stands.spill.share {
        return;
    }
    let (home, before) = (home.region, home.reason);
    // The lower half of the hash: it says nothing about who is sent away.
    let number = (spread * 4096.0).fract();
    let mut found = false;
    for ((class, _), place) in places.iter_mut() {
        let takes = of(place).is_some_and(|stands| stands.spill.takes(number));
        (*class, place.reason) = match place.reason {
            _ if place.region == home => (3, Reason::Spilled),
            Reason::Preferred | Reason::Farther | Reason::UnknownLocation if takes => {
                found = true;
                (*class, place.reason)
            }
            // Who is there for when others cannot, is there for this.
            Reason::Weight if takes => {
                found = true;
                (2, Reason::Weight)
            }
            Reason::Preferred | Reason::Farther | Reason::UnknownLocation => (4, Reason::Full),
            other => (*class, other),
        };
    }
    if !found && let Some((_, place)) = places.first_mut() {
        // Nobody has room, so it stays.
        place.reason = before;
    }
    places.sort_by_key(|(key, _)| *key);
}

#[cfg(test)]
mod tests;
