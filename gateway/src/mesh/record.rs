//! What one gateway says of itself and of what it sees. Every part that shares state adds one field of
//! a type of its own, with a default: gateways of different versions talk to each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::region::drain_order::Orders;
use crate::region::{HealthWord, Load, MAX_REGIONS};
use crate::steering::RttDelta;

/// One gateway's word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The region that speaks.
    pub region: String,
    /// Which of its gateways; random, new with every start.
    #[serde(default)]
    pub instance: u64,
    /// Grows with every record of one instance.
    #[serde(default)]
    pub version: Version,
    /// Whether it wants no new work.
    pub draining: bool,
    /// The share of its users that each region gets, as the speaker sees it, 0 to 1.
    pub shares: BTreeMap<String, f32>,
    /// Round trips of its clients, a part at a time.
    #[serde(default)]
    pub round_trips: RttDelta,
    /// How busy it is.
    #[serde(default)]
    pub load: Load,
    /// The drain orders that it knows, its own and those of others.
    #[serde(default)]
    pub drain_orders: Orders,
    /// What works there, and how it sees the others.
    #[serde(default)]
    pub health: HealthWord,
    /// Round trips of the speaker's own links that answer, in milliseconds.
    #[serde(default)]
    pub rtts: BTreeMap<String, f32>,
}

/// No way on Earth takes longer; who says so is not believed to be faster or slower than this, in
/// milliseconds.
const LONGEST_RTT: f32 = 10_000.0;

impl Record {
    /// The record with what no honest gateway would say put within bounds.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.shares.retain(|_, share| !share.is_nan());
        for share in self.shares.values_mut() {
            *share = share.clamp(0.0, 1.0);
        }
        self.rtts.retain(|_, rtt| (0.0..=LONGEST_RTT).contains(rtt));
        while self.shares.len() > MAX_REGIONS {
            self.shares.pop_last();
        }
        while self.rtts.len() > MAX_REGIONS {
            self.rtts.pop_last();
        }
        self
    }
}

/// When a record was made: by start of its gateway, then by count. Clocks of two machines are never
/// compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Unix time of the gateway's start, in milliseconds.
    pub started: u64,
    /// Records made since.
    pub count: u64,
}

/// Who this gateway is among those of its region, and how many records it has made.
#[derive(Debug)]
pub struct Instance {
    id: u64,
    started: u64,
    count: AtomicU64,
}

impl Instance {
    /// A new one.
    pub fn started_now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: fastrand::u64(1..),
            started: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            count: AtomicU64::new(0),
        }
    }

    /// Its random number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The version of the record that is made next.
    pub fn next_version(&self) -> Version {
        Version {
            started: self.started,
            count: self.count.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}
