//! The orders in force in this process, as the data path reads them, and the slow return of a region
//! whose drain was undone.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::drain_order::{Order, Orders, StoreError, load, save};
use super::health::{HealthPolicy, slow_start};
use super::{MAX_REGIONS, RegionIndex, RegionSet};

/// What the data path reads.
#[derive(Clone, Debug, Default)]
struct View {
    orders: Orders,
    /// By region index.
    is_drained: [bool; MAX_REGIONS],
    /// When a region's drain was undone, as far as we have seen it.
    returned_at: [Option<Instant>; MAX_REGIONS],
}

/// The orders in force. One a process.
#[derive(Debug)]
pub struct Drains {
    names: Vec<String>,
    view: ArcSwap<View>,
    directory: Option<PathBuf>,
    /// Held while orders change.
    changing: Mutex<()>,
    /// Held while they are written, so that the newest is written last.
    writing: tokio::sync::Mutex<()>,
    is_unsaved: AtomicBool,
}

impl Drains {
    /// Takes up the orders that were kept in `directory`.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read. Starting without it could give users to a drained region.
    pub fn open(regions: &RegionSet, directory: Option<PathBuf>) -> Result<Self, StoreError> {
        let orders = directory.as_deref().map(load).transpose()?;
        let drains = Self {
            names: regions
                .iter()
                .map(|(_, region)| region.name.to_string())
                .collect(),
            view: ArcSwap::default(),
            directory,
            changing: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            is_unsaved: AtomicBool::new(false),
        };
        if let Some(orders) = orders {
            drains.hear(&orders, Instant::now());
            drains.is_unsaved.store(false, Ordering::Relaxed);
        }
        Ok(drains)
    }

    /// Whether an operator has drained a region.
    pub fn is_drained(&self, region: RegionIndex) -> bool {
        self.view.load().is_drained[region.get()]
    }

    /// The part of its users that a region gets again since its drain was undone, 0 to 1.
    pub fn share(&self, region: RegionIndex, now: Instant, policy: &HealthPolicy) -> f32 {
        match self.view.load().returned_at[region.get()] {
            Some(at) => slow_start(at, now, policy.slow_start),
            None => 1.0,
        }
    }

    /// All orders, as they are told to the others.
    pub fn orders(&self) -> Orders {
        self.view.load().orders.clone()
    }

    /// The last order for a region.
    pub fn order(&self, region: &str) -> Option<Order> {
        self.view.load().orders.of(region).cloned()
    }

    /// Takes over what another gateway knows and we do not. Returns whether that was anything.
    pub fn hear(&self, orders: &Orders, now: Instant) -> bool {
        // Nearly always nothing is new, and this is asked several times a second.
        let before = self.view.load();
        let is_known = |name: &str| self.names.iter().any(|known| known == name);
        if !before.orders.clone().merge(orders, is_known) {
            return false;
        }
        self.change(now, |mine| mine.merge(orders, is_known))
    }

    /// Gives an order. Its counter is set here.
    pub fn give(&self, region: &str, order: Order, now: Instant) -> Order {
        let mut given = order;
        self.change(now, |orders| {
            given = orders.give(region, given.clone());
            true
        });
        given
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Orders) -> bool) -> bool {
        let _changing = self
            .changing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = View::clone(&self.view.load());
        if !change(&mut next.orders) {
            return false;
        }
        for (at, name) in self.names.iter().enumerate() {
            let drained = next.orders.drains(name);
            if next.is_drained[at] != drained {
                next.returned_at[at] = (!drained).then_some(now);
            }
            next.is_drained[at] = drained;
        }
        self.view.store(next.into());
        self.is_unsaved.store(true, Ordering::Relaxed);
        true
    }

    /// Whether orders outlive this process.
    pub fn are_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// Writes what has changed since it was last written.
    ///
    /// # Errors
    ///
    /// The file could not be written; the next call tries again.
    pub async fn save(&self) -> Result<(), StoreError> {
        let Some(directory) = self.directory.clone() else {
            return Ok(());
        };
        let _writing = self.writing.lock().await;
        if !self.is_unsaved.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let orders = self.orders();
        let saved = tokio::task::spawn_blocking(move || save(&directory, &orders)).await;
        // A write that was not even begun, because the process ends, has not failed.
        let saved = saved.unwrap_or(Ok(()));
        if saved.is_err() {
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
        saved
    }
}
