//! Round trips by client prefix and region: what was measured, how often, and how long ago.
//!
//! Our own region's come from our connections; the others' from those regions' own words. The table is
//! bounded, and forgets first what was seen rarely and long ago. It is for the one task that learns:
//! requests read a [`Snapshot`] of it, made once a second at most.
//!
//! Times are seconds of one clock, handed in. Ages travel between machines, times never do.

mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::snapshot::{Measured, Snapshot};
use super::Prefix;
use crate::region::{MAX_REGIONS, RegionIndex};

/// What counts as a round trip. Less is a proxy beside us, more is a client that sleeps.
const PLAUSIBLE: std::ops::RangeInclusive<u32> = 1..=2_000_000;
/// Samples of which the median is taken.
const RING: usize = 5;
/// How often a change is told: whoever misses one exchange hears of it in the next.
const TELL: u8 = 3;
/// Changes that wait to be told; the rest is told in turn.
const MAX_WAITING: usize = 4096;
/// One sample more is worth this many seconds of age when somebody has to go.
const SAMPLE_IS_WORTH: u64 = 600;
/// Samples beyond this are worth nothing more.
const ENOUGH: u32 = 36;

/// When the table believes what it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningPolicy {
    /// Prefixes kept.
    pub prefixes: usize,
    /// Samples from which on a measurement beats the model.
    pub min_samples: u32,
    /// Age up to which it does.
    pub fresh_for: Duration,
}

/// One measurement, as it is exported, kept on disk, and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement<R> {
    /// The clients' network.
    pub prefix: Prefix,
    /// The region that measured, by name or index.
    pub region: R,
    /// The estimate in milliseconds.
    pub rtt_ms: f64,
    /// Connections it rests on.
    pub samples: u32,
    /// When the last of them was measured, in seconds since 1970.
    pub measured_at: u64,
}

/// What a region says of its own round trips, a part at a time: prefix, microseconds, samples, age in
/// seconds. At most [`RttDelta::MAX`] count, which is 8 KiB of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RttDelta(pub Vec<(u64, u32, u32, u64)>);

impl RttDelta {
    /// Most entries of one word.
    pub const MAX: usize = 256;
}

/// One prefix's round trip to one region.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    micros: u32,
    /// 0 where nothing is known.
    samples: u32,
    at: u64,
}

/// The last samples of our own connections.
#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    micros: [u32; RING],
    len: u8,
    next: u8,
}

#[derive(Clone, Debug, Default)]
struct Row {
    cells: [Cell; MAX_REGIONS],
    ring: Ring,
    /// Times that the own cell must still be told.
    tell: u8,
}

/// The table. One a process.
#[derive(Debug)]
pub struct RttTable {
    policy: LearningPolicy,
    own: RegionIndex,
    rows: BTreeMap<Prefix, Row>,
    waiting: VecDeque<Prefix>,
    told_up_to: Option<Prefix>,
    changed: bool,
}

impl RttTable {
    /// An empty one, for the region `own`.
    pub fn new(policy: LearningPolicy, own: RegionIndex) -> Self {
        Self {
            policy,
            own,
            rows: BTreeMap::new(),
            waiting: VecDeque::new(),
            told_up_to: None,
            changed: false,
        }
    }

    /// Prefixes in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in the round trip of a connection to us. The estimate is the second lowest of the last
    /// five, so that one client with a bad link, or one that lies, does not speak for its neighbours. False where
    /// it cannot be one.
    pub fn observe(&mut self, prefix: Prefix, rtt: Duration, now: u64) -> bool {
        let Some(micros) = plausible(rtt.as_micros()) else {
            return false;
        };
        let (own, fresh_for) = (self.own.get(), self.policy.fresh_for.as_secs());
        let row = self.row(prefix, now);
        let cell = &mut row.cells[own];
        if now.saturating_sub(cell.at) > fresh_for {
            (row.ring, cell.samples) = (Ring::default(), 0);
        }
        row.ring.push(micros);
        cell.micros = row.ring.estimate();
        cell.samples = cell.samples.saturating_add(1);
        cell.at = now;
        let is_waiting = row.tell > 0;
        row.tell = TELL;
        if !is_waiting && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(prefix);
        }
        self.changed = true;
        true
    }

    /// Takes in what region `from` says of its own round trips. What is impossible, older than what is
    /// known, or too old to count is passed over.
    pub fn hear(&mut self, from: RegionIndex, delta: &RttDelta, now: u64) {
        for &(word, micros, samples, age) in delta.0.iter().take(RttDelta::MAX) {
            let (Ok(prefix), Some(micros)) = (Prefix::try_from(word), plausible(micros.into()))
            else {
                continue;
            };
            self.put(prefix, from, micros, samples, now.saturating_sub(age), now);
        }
    }

    /// Takes in a measurement that an operator, or the file of the last run, brings. Says whether it
    /// counts.
    pub fn import(&mut self, measurement: &Measurement<RegionIndex>, now: u64) -> bool {
        let micros = measurement.rtt_ms * 1000.0;
        // Not a number becomes 0, and what is too large the largest; neither is plausible.
        let Some(micros) = plausible(micros.round() as u128) else {
            return false;
        };
        // A clock ahead of ours brings nothing from the future.
        let at = measurement.measured_at.min(now);
        let Measurement {
            prefix,
            region,
            samples,
            ..
        } = *measurement;
        self.put(prefix, region, micros, samples, at, now)
    }

    fn put(
        &mut self,
        prefix: Prefix,
        region: RegionIndex,
        micros: u32,
        samples: u32,
        at: u64,
        now: u64,
    ) -> bool {
        let too_old = now.saturating_sub(at) > self.policy.fresh_for.as_secs();
        if too_old || samples == 0 || region.get() >= MAX_REGIONS {
            return false;
        }
        let cell = &mut self.row(prefix, now).cells[region.get()];
        if cell.samples > 0 && cell.at > at {
            return false;
        }
        *cell = Cell {
            micros,
            samples,
            at,
        };
        self.changed = true;
        true
    }

    /// The part of our own round trips that is told next: what has changed, then the rest in turn, so
    /// that a region that was away learns all of it again.
    pub fn tell(&mut self, now: u64) -> RttDelta {
        let mut told = Vec::new();
        for _ in 0..self.waiting.len().min(RttDelta::MAX * 3 / 4) {
            let Some(prefix) = self.waiting.pop_front() else {
                break;
            };
            let Some(row) = self.rows.get_mut(&prefix) else {
                continue;
            };
            row.tell = row.tell.saturating_sub(1);
            if row.tell > 0 {
                self.waiting.push_back(prefix);
            }
            told.extend(entry(prefix, row.cells[self.own.get()], &self.policy, now));
        }
        let from = self.told_up_to.map_or(std::ops::Bound::Unbounded, |at| {
            std::ops::Bound::Excluded(at)
        });
        let mut last = None;
        let rest = self.rows.range((from, std::ops::Bound::Unbounded));
        for (prefix, row) in rest.take(4 * RttDelta::MAX) {
            if told.len() >= RttDelta::MAX {
                break;
            }
            last = Some(*prefix);
            told.extend(entry(*prefix, row.cells[self.own.get()], &self.policy, now));
        }
        // At the end of the table it begins again.
        self.told_up_to = last;
        RttDelta(told)
    }

    /// What requests may read, if anything has changed since the last one.
    pub fn snapshot_if_changed(&mut self, now: u64) -> Option<Snapshot> {
        std::mem::take(&mut self.changed).then(|| self.snapshot(now))
    }

    /// What requests may read: all that counts now.
    pub fn snapshot(&self, now: u64) -> Snapshot {
        let rows = self.rows.iter().map(|(prefix, row)| {
            let counts = |cell: &Cell| counts(cell, &self.policy, now);
            (
                *prefix,
                row.cells.map(|cell| counts(&cell).then_some(cell.micros)),
            )
        });
        Snapshot::new(rows)
    }

    /// Forgets what is too old to count for any region. Says whether anything was.
    pub fn forget_old(&mut self, now: u64) -> bool {
        let fresh_for = self.policy.fresh_for.as_secs();
        let before = self.rows.len();
        self.rows.retain(|_, row| {
            let newest = row.cells.iter().map(|cell| cell.at).max().unwrap_or(0);
            now.saturating_sub(newest) <= fresh_for
        });
        self.changed = true;
        before != self.rows.len()
    }

    /// Everything, for export.
    pub fn measurements(&self) -> impl Iterator<Item = Measurement<RegionIndex>> {
        self.rows.iter().flat_map(|(prefix, row)| {
            let cells = (0_u8..).map(RegionIndex).zip(row.cells);
            let known = cells.filter(|(_, cell)| cell.samples > 0);
            known.map(|(region, cell)| Measurement {
                prefix: *prefix,
                region,
                rtt_ms: f64::from(cell.micros) / 1000.0,
                samples: cell.samples,
                measured_at: cell.at,
            })
        })
    }

    fn row(&mut self, prefix: Prefix, now: u64) -> &mut Row {
        if self.rows.len() >= self.policy.prefixes && !self.rows.contains_key(&prefix) {
            self.make_room(now);
        }
        self.rows.entry(prefix).or_default()
    }

    /// Lets a sixteenth go at once, so that looking for it is rare: least seen and longest ago first.
    fn make_room(&mut self, now: u64) {
        let worth = |row: &Row| {
            let newest = row.cells.iter().map(|cell| cell.at).max().unwrap_or(0);
            let samples = row.cells.iter().fold(0, |sum: u32, cell| {
                sum.saturating_add(cell.samples.min(ENOUGH))
            });
            newest.min(now) + SAMPLE_IS_WORTH * u64::from(samples.min(ENOUGH))
        };
        let mut worths: Vec<(u64, Prefix)> = self
            .rows
            .iter()
            .map(|(prefix, row)| (worth(row), *prefix))
            .collect();
        let go = (self.policy.prefixes / 16).max(1).min(worths.len());
        if go < worths.len() {
            worths.select_nth_unstable(go);
        }
        for (_, prefix) in worths.iter().take(go) {
            self.rows.remove(prefix);
        }
    }
}

impl Ring {
    fn push(&mut self, micros: u32) {
        if let Some(slot) = self.micros.get_mut(usize::from(self.next)) {
            *slot = micros;
        }
        self.next = (self.next + 1) % RING as u8;
        self.len = (self.len + 1).min(RING as u8);
    }

    /// The second lowest; of up to three, the lowest. Queues only ever add, and a median of few
    /// connections that met one would stick to a region that nobody is sent to any more. One client that
    /// acknowledges what it has not got does not lower it.
    fn estimate(&self) -> u32 {
        let mut sorted = self.micros;
        let known = &mut sorted[..usize::from(self.len)];
        known.sort_unstable();
        known.get(known.len() / 4).copied().unwrap_or(0)
    }
}

fn counts(cell: &Cell, policy: &LearningPolicy, now: u64) -> bool {
    cell.samples >= policy.min_samples && now.saturating_sub(cell.at) <= policy.fresh_for.as_secs()
}

fn entry(
    prefix: Prefix,
    cell: Cell,
    policy: &LearningPolicy,
    now: u64,
) -> Option<(u64, u32, u32, u64)> {
    counts(&cell, policy, now).then(|| {
        let age = now.saturating_sub(cell.at);
        (prefix.word(), cell.micros, cell.samples, age)
    })
}

fn plausible(micros: u128) -> Option<u32> {
    let micros = u32::try_from(micros).ok()?;
    PLAUSIBLE.contains(&micros).then_some(micros)
}

#[cfg(test)]
mod tests;
