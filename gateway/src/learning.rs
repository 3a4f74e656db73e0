//! Learning where users really are: the round trips of our connections and the other regions' words go
//! into one table, requests read a snapshot of it, and a file keeps it across restarts.
//!
//! Only the task here touches the table's lock for long; connections hand their samples over without
//! waiting. What is made of a snapshot is up to `steering`.

mod file;

mod task;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

pub use self::file::{BadLine, read_csv, write_csv};
pub(crate) use self::task::run;
use crate::mesh;
use crate::region::{RegionIndex, RegionSet};
use crate::steering::{
    Exploration, LearningPolicy, Measurement, Prefix, RttDelta, RttTable, Snapshot,
};

/// Samples that may wait for the task; more are dropped, which costs nothing but themselves.
const QUEUE: usize = 4096;

/// How a gateway learns.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningConfig {
    /// What counts.
    pub policy: LearningPolicy,
    /// How much is tried out.
    pub exploration: Exploration,
    /// Where the table is kept across restarts.
    pub file: Option<PathBuf>,
}

/// The table and all ways to it. One a process.
pub struct Learning {
    /// How much is tried out.
    pub exploration: Exploration,
    snapshot: ArcSwap<Snapshot>,
    /// What the next exchanges tell the other regions.
    told: ArcSwap<RttDelta>,
    table: Mutex<RttTable>,
    samples: mpsc::Sender<(Prefix, Duration)>,
    queue: Mutex<Option<mpsc::Receiver<(Prefix, Duration)>>>,
    file: Option<PathBuf>,
}

impl Learning {
    /// Nothing is known but what the file of the last run says. A bad file is left alone and logged.
    pub fn new(config: LearningConfig, regions: &RegionSet) -> Self {
        let mut table = RttTable::new(config.policy, regions.own_index());
        if let Some(path) = &config.file {
            file::load(path, regions, &mut table, unix_now());
        }
        let (samples, queue) = mpsc::channel(QUEUE);
        Self {
            exploration: config.exploration,
            snapshot: ArcSwap::from_pointee(table.snapshot(unix_now())),
            told: ArcSwap::default(),
            table: Mutex::new(table),
            samples,
            queue: Mutex::new(Some(queue)),
            file: config.file,
        }
    }

    /// What requests may read.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Takes in the round trip of a client's connection to us. Never waits.
    pub fn observe(&self, client: IpAddr, rtt: Duration) {
        let _ = self.samples.try_send((Prefix::of(client), rtt));
    }

    /// What our record tells the other regions now.
    pub fn told(&self) -> RttDelta {
        RttDelta::clone(&self.told.load())
    }

    /// Takes in what region `from` says of its own round trips. Once for every record.
    pub fn hear(&self, from: RegionIndex, record: &mesh::Record) {
        if !record.round_trips.0.is_empty() {
            self.table().hear(from, &record.round_trips, unix_now());
        }
    }

    /// Everything that is known.
    pub fn export(&self) -> Vec<Measurement<RegionIndex>> {
        self.table().measurements().collect()
    }

    /// Takes in what an operator brings; how many of them counted.
    pub fn import(&self, measurements: &[Measurement<RegionIndex>]) -> usize {
        let now = unix_now();
        let mut table = self.table();
        let counted = measurements.iter().filter(|each| table.import(each, now));
        let counted = counted.count();
        self.snapshot.store(Arc::new(table.snapshot(now)));
        counted
    }

    /// Prefixes that are known.
    pub fn prefixes(&self) -> usize {
        self.snapshot.load().len()
    }

    fn table(&self) -> MutexGuard<'_, RttTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970. The table compares them with each other only.
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
