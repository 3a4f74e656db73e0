//! Location → regions, ranked by expected round-trip time. Pure: no lock, no clock, no heap.

use std::time::Duration;

use arrayvec::ArrayVec;
use serde::Serialize;

use crate::distance::Direction;
use crate::location::{Location, Point, RegionSlug};
use crate::rtt::Network;

/// Most regions one table ranks.
pub const MAX_REGIONS: usize = 16;

/// A region to rank: a name and a place. The catalogue's regions convert into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionPoint {
    /// Name, which overrides may pin addresses to.
    pub name: RegionSlug,
    /// Where it is.
    pub point: Point,
}

impl From<&crate::catalogue::Region> for RegionPoint {
    fn from(region: &crate::catalogue::Region) -> Self {
        Self {
            name: region.slug,
            point: region.point,
        }
    }
}

/// One place of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Position of the region in the list that was given.
    pub index: usize,
    /// Great-circle kilometres, for people to read: nothing is decided by it. `None` when the
    /// location has no point.
    pub km: Option<f32>,
    /// Expected round-trip time, last mile left out. `None` when the location has no point: the
    /// ranking is then the order given.
    pub rtt: Option<Duration>,
    /// An override pins the address here, so the region is first whatever its time.
    pub pinned: bool,
}

/// A ranking, nearest first, with every region of the list in it once. Lives on the stack.
pub type Ranking = ArrayVec<Ranked, MAX_REGIONS>;

/// The cost of reaching each region from each hub, worked out once per set of regions; ranking
/// with it is the fast path.
#[derive(Clone, Debug)]
pub struct CostTable {
    regions: ArrayVec<(RegionSlug, Direction), MAX_REGIONS>,
    /// Row per hub, column per region, milliseconds.
    hub_ms: Vec<f32>,
}

impl CostTable {
    /// Works out the costs: tens of microseconds a region, so do it when the fleet changes, not
    /// per request.
    ///
    /// # Errors
    ///
    /// More than [`MAX_REGIONS`] regions.
    pub fn new(regions: &[RegionPoint]) -> Result<Self, TooManyRegions> {
        if regions.len() > MAX_REGIONS {
            return Err(TooManyRegions(regions.len()));
        }
        let world = Network::world();
        let columns: Vec<Vec<f32>> = regions
            .iter()
            .map(|region| world.ms_to(region.point))
            .collect();
        let hub_ms = (0..world.len())
            .flat_map(|hub| columns.iter().map(move |column| column[hub]))
            .collect();
        let regions = regions
            .iter()
            .map(|region| (region.name, Direction::of(region.point)))
            .collect();
        Ok(Self { regions, hub_ms })
    }

    /// Ranks the regions for a location. See [`Ranked`] for what a location without a point gets.
    pub fn nearest(&self, location: &Location) -> Ranking {
        let mut ranking = match location.point {
            Some(point) => self.nearest_to(point),
            None => (0..self.regions.len())
                .map(|index| Ranked {
                    index,
                    km: None,
                    rtt: None,
                    pinned: false,
                })
                .collect(),
        };
        if let Some(pin) = location.pinned {
            self.put_first(pin, &mut ranking);
        }
        ranking
    }

    fn nearest_to(&self, point: Point) -> Ranking {
        let place = Direction::of(point);
        let mut best: ArrayVec<f32, MAX_REGIONS> =
            self.regions.iter().map(|_| f32::INFINITY).collect();
        for access in Network::world().access(place) {
            let row = access.hub * self.regions.len()..(access.hub + 1) * self.regions.len();
            for (best, from_hub) in best.iter_mut().zip(&self.hub_ms[row]) {
                *best = best.min(access.ms + from_hub);
            }
        }
        let mut order: ArrayVec<(f32, usize), MAX_REGIONS> = best.into_iter().zip(0..).collect();
        // Equal times keep the order given: the second part of the key is the position.
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let ranked = |(ms, index): (f32, usize)| Ranked {
            index,
            km: Some(place.km_to(self.regions[index].1)),
            rtt: Some(Duration::from_micros((ms * 1000.0) as u64)),
            pinned: false,
        };
        order.into_iter().map(ranked).collect()
    }

    /// A pin to a region that is not in the list changes nothing.
    fn put_first(&self, pin: RegionSlug, ranking: &mut Ranking) {
        let at = ranking
            .iter()
            .position(|ranked| self.regions[ranked.index].0 == pin);
        if let Some(at) = at {
            ranking[..=at].rotate_right(1);
            ranking[0].pinned = true;
        }
    }
}

/// Ranks regions for a location, once. Builds a [`CostTable`] for it; on a request path keep one.
///
/// # Errors
///
/// More than [`MAX_REGIONS`] regions.
pub fn nearest(location: &Location, regions: &[RegionPoint]) -> Result<Ranking, TooManyRegions> {
    Ok(CostTable::new(regions)?.nearest(location))
}

/// Expected round-trip time between a location and a place, last mile left out. `None` when the
/// location has no point.
pub fn expected_rtt(location: &Location, region: Point) -> Option<Duration> {
    let world = Network::world();
    let to_region = world.ms_to(region);
    let access = world.access(Direction::of(location.point?));
    let ms = access
        .iter()
        .map(|access| access.ms + to_region[access.hub])
        .min_by(f32::total_cmp)?;
    Some(Duration::from_micros((ms * 1000.0) as u64))
}

/// A list of regions too long to rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} regions, but at most {MAX_REGIONS} can be ranked")]
pub struct TooManyRegions(pub usize);

#[cfg(test)]
mod tests;
