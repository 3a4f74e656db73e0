//! How much of each region's own users it keeps, and how many of the others' it takes in: from the load
//! of all regions to two numbers a region. Pure; `gateway::balance` feeds it and keeps the result.
//!
//! **Demand, not utilisation, is what is controlled.** A region that sends users away looks less busy, so
//! a rule on its utilisation answers its own effect, late, and swings. The demand of a region is what its
//! users have in flight *wherever they are served*; sending them away does not change it, so delays of
//! the exchange and of DNS cost time and cannot make the shares swing.
//!
//! Not for health (`region::health`) and not for the order of regions (`rank`).

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::region::{Load, MAX_REGIONS};

/// When regions send users away, and how slowly those return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpillPolicy {
    /// Part of its capacity from which a region spills, 0 to 1.
    pub from: f32,
    /// Time in which a share grows from nothing to all.
    pub growth: Duration,
}

/// A share falls by at most this a second: fast enough for a crowd, slow enough that the load that
/// follows it is seen before the share is down.
const FALL_PER_SECOND: f32 = 0.1;

/// A share grows only if it is at least this much too small, so that noise does not move users.
const DEAD_BAND: f32 = 0.03;

/// After a fall a share stays for this part of its growth: what makes it fall again and again, such as
/// a link that comes and goes, must not swing it.
const HOLD: f32 = 0.25;

/// Regions may be filled up to this where the whole fleet is busy.
const FULLEST: f32 = 0.98;

/// One region's load, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegionLoad {
    /// Requests in flight that it can take; 0 where that is not known.
    pub capacity: f32,
    /// Requests in flight that are served there, whosever they are.
    pub served: f32,
    /// Requests in flight, wherever they are served, of clients that would be served there if every
    /// region had room.
    pub demand: f32,
    /// Whether it may be given requests at all.
    pub is_open: bool,
}

/// What a region keeps and takes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spill {
    /// The part of its own users that it keeps, 0 to 1.
    pub share: f32,
    /// The spilled users of other regions that it takes: those whose number in `[0, 1)` lies in the range
    /// of length `guests` from here, which goes on at 0 after 1.
    pub guests_from: f32,
    /// Length of the range; 1 takes all.
    pub guests: f32,
}

impl Spill {
    /// A region with room for everybody.
    pub const NONE: Self = Self {
        share: 1.0,
        guests_from: 0.0,
        guests: 1.0,
    };

    /// Whether a spilled client with this number in `[0, 1)` is taken in.
    pub fn takes(&self, number: f32) -> bool {
        self.guests >= 1.0 || (number - self.guests_from).rem_euclid(1.0) < self.guests
    }
}

/// The shares of all regions at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    regions: ArrayVec<Spill, MAX_REGIONS>,
    /// Seconds for which each share may not grow, because it has just fallen.
    held: ArrayVec<f32, MAX_REGIONS>,
}

impl Balance {
    /// Of a fleet with room for everybody.
    pub fn new(regions: usize) -> Self {
        Self {
            regions: (0..regions.min(MAX_REGIONS)).map(|_| Spill::NONE).collect(),
            held: (0..regions.min(MAX_REGIONS)).map(|_| 0.0).collect(),
        }
    }

    /// What a region keeps and takes in; everything where it is not known.
    pub fn of(&self, region: usize) -> Spill {
        self.regions.get(region).copied().unwrap_or(Spill::NONE)
    }

    /// The shares after `elapsed`, on their way to what `loads` ask for.
    #[must_use]
    pub fn step(&self, loads: &[RegionLoad], elapsed: Duration, policy: &SpillPolicy) -> Self {
        let seconds = elapsed.as_secs_f32();
        let fall = FALL_PER_SECOND * seconds;
        let rise = seconds / policy.growth.as_secs_f32().max(f32::MIN_POSITIVE);
        let mut from = 0.0;
        let mut held = ArrayVec::new();
        let regions = wanted(loads, policy).into_iter().enumerate();
        let regions = regions.map(|(at, wanted)| {
            let now = self.of(at);
            let before = self.held.get(at).copied().unwrap_or(0.0);
            let may_rise = if before > 0.0 { 0.0 } else { rise };
            let share = approach(now.share, wanted.share, fall, may_rise);
            held.push(if share < now.share {
                HOLD * policy.growth.as_secs_f32()
            } else {
                (before - seconds).max(0.0)
            });
            // A region that is closed takes nobody, and begins with nobody when it is open again.
            let guests = match loads.get(at) {
                Some(load) if load.is_open => {
                    approach(now.guests, wanted.guests, 2.0 * fall, 4.0 * rise)
                }
                _ => 0.0,
            };
            let spill = Spill {
                share,
                guests_from: from,
                guests,
            };
            // Ranges lie one behind the other, so that together they take every spilled client as soon as
            // there is room for all.
            from = (from + guests).rem_euclid(1.0);
            spill
        });
        Self {
            regions: regions.collect(),
            held,
        }
    }
}

fn approach(now: f32, wanted: f32, fall: f32, rise: f32) -> f32 {
    if wanted < now {
        wanted.max(now - fall)
    } else if wanted >= 1.0 || wanted > now + DEAD_BAND {
        wanted.min(now + rise)
    } else {
        now
    }
}

/// What a region should keep and take in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wanted {
    share: f32,
    guests: f32,
}

/// The shares that fit the loads, whatever they are now.
fn wanted(loads: &[RegionLoad], policy: &SpillPolicy) -> ArrayVec<Wanted, MAX_REGIONS> {
    let loads = &loads[..loads.len().min(MAX_REGIONS)];
    let total = |of: &dyn Fn(&RegionLoad) -> f32| loads.iter().map(of).sum::<f32>();
    // The level to which regions are filled with the users of others: as low as it can be, but not
    // below where they spill themselves. Nobody spills below it, so nobody is sent to a fuller region.
    let (mut low, mut high) = (policy.from, FULLEST.max(policy.from));
    let fits =
        |level: f32| total(&|load| load.excess(level, policy)) <= total(&|load| load.room(level));
    if fits(low) {
        high = low;
    }
    for _ in 0..10 {
        let middle = f32::midpoint(low, high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    let level = high;
    let excess = total(&|load| load.excess(level, policy));
    let room = total(&|load| load.room(level));
    // What finds no room anywhere stays where it is.
    let moved = excess.min(room);
    loads
        .iter()
        .map(|load| Wanted {
            share: if excess <= 0.0 || load.demand <= 0.0 {
                1.0
            } else {
                1.0 - load.excess(level, policy) * (moved / excess) / load.demand
            },
            guests: if load.room(level) <= 0.0 {
                0.0
            } else {
                (load.room(level) / moved.max(f32::MIN_POSITIVE)).min(1.0)
            },
        })
        .collect()
}

impl RegionLoad {
    /// Of the region with this index and name, from each region's last word, in which old ones are
    /// `None`.
    pub fn of(index: usize, name: &str, words: &[Option<&Load>], is_open: bool) -> Self {
        let own = words.get(index).copied().flatten();
        let by_all = words.iter().flatten().map(|word| word.served_for(name));
        Self {
            capacity: own.map_or(0.0, |word| word.capacity as f32),
            served: own.map_or(0.0, Load::served),
            demand: by_all.sum(),
            is_open,
        }
    }

    /// Requests that it wants to be rid of, where others are filled to `level`.
    fn excess(&self, level: f32, policy: &SpillPolicy) -> f32 {
        if self.capacity <= 0.0 || self.demand <= 0.0 || !self.is_open {
            return 0.0;
        }
        let demanded = self.demand / self.capacity;
        // The busier, the more it keeps, but never all that it could: at three times its capacity in
        // demand it is filled to 87 % where it spills from 75 %.
        let kept = if demanded <= policy.from {
            demanded
        } else {
            policy.from + 0.6 * (1.0 - policy.from) * (1.0 - policy.from / demanded)
        };
        let by_demand = self.demand - kept.max(level) * self.capacity;
        // Streams that last do not move, so new users are kept away by what is really there.
        let left = (1.0 - self.served / self.capacity) / (1.0 - level).max(0.01);
        let by_load = self.demand * (1.0 - left.clamp(0.0, 1.0));
        by_demand.max(by_load).clamp(0.0, self.demand)
    }

    /// Requests of others that it can take until it is filled to `level`.
    fn room(&self, level: f32) -> f32 {
        if self.capacity <= 0.0 || !self.is_open {
            return 0.0;
        }
        let left = (1.0 - self.served / self.capacity) / (1.0 - level).max(0.01);
        (level * self.capacity - self.demand).max(0.0) * left.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests;
