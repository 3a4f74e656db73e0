//! The table as requests read it: sorted, complete, never changed. A lookup is a binary search: no lock,
//! no clock, no heap.

use ipnet::IpNet;

use crate::region::{MAX_REGIONS, RegionIndex};
use crate::steering::Prefix;

/// Round trips of one prefix in milliseconds, by region; `None` where too little is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured([Option<f32>; MAX_REGIONS]);

impl Measured {
    /// These, in milliseconds.
    pub fn new(rtt_ms: [Option<f32>; MAX_REGIONS]) -> Self {
        Self(rtt_ms)
    }

    /// The round trip to a region, in milliseconds.
    pub fn to(&self, region: RegionIndex) -> Option<f32> {
        self.0.get(region.get()).copied().flatten()
    }
}

/// All that counts, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    prefixes: Vec<Prefix>,
    rows: Vec<Measured>,
}

impl Snapshot {
    /// From rows in the order of their prefixes, in microseconds; those without a number are left out.
    pub(super) fn new(rows: impl Iterator<Item = (Prefix, [Option<u32>; MAX_REGIONS])>) -> Self {
        let (prefixes, rows) = rows
            .filter(|(_, micros)| micros.iter().any(Option::is_some))
            .map(|(prefix, micros)| {
                let millis = |micros| f64::from(micros) / 1000.0;
                let row = micros.map(|micros| micros.map(|micros| millis(micros) as f32));
                (prefix, Measured(row))
            })
            .unzip();
        Self { prefixes, rows }
    }

    /// What was measured of a prefix.
    pub fn get(&self, prefix: Prefix) -> Option<&Measured> {
        let at = self.prefixes.binary_search(&prefix).ok()?;
        self.rows.get(at)
    }

    /// Whether anything was measured of a prefix inside `net`. An answer for all of `net` would then be
    /// too wide: its scope is a /24 (/48) at most.
    pub fn knows_within(&self, net: IpNet) -> bool {
        let (first, last) = Prefix::range(net);
        let from = self.prefixes.partition_point(|prefix| *prefix < first);
        self.prefixes
            .get(from)
            .is_some_and(|prefix| *prefix <= last)
    }

    /// Prefixes in it.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }
}
