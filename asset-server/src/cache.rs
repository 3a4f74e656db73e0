//! The cache: two tiers, the fills in flight, and what moves between them.

pub mod directives;
pub mod key;
pub mod targeted;

pub mod freshness;
pub(crate) mod http_date;
pub mod storability;
pub mod vary;

pub mod entry;
pub mod part;
pub mod status;
pub mod stored_headers;

pub(crate) mod find;
pub mod slice;
pub(crate) mod sliced;

pub mod coalesce;
pub mod fill;
pub(crate) mod filling;

pub mod disk;
pub mod memory;

pub mod purge;
pub mod surrogate;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::coalesce::Coalesce;
use self::disk::{DiskCounters, DiskObject, DiskTier, OpenError, ReadError};
use self::entry::{Content, Entry, Meta};
use self::key::CacheKey;
use self::memory::{MemoryTier, Moka};
use self::purge::{Purge, PurgeReport};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::respond::digest::{Digester, Sha256};

/// How many keys are remembered as uncacheable, and for how long.
const UNCACHEABLE_KEYS: u64 = 64 << 10;
const UNCACHEABLE_FOR: Duration = Duration::from_secs(60);

/// Unit in which memory for fills is set aside.
const BUDGET_UNIT: u64 = 64 << 10;

/// Objects that are coded at once; more go out as they are. Each takes an encoder's few MiB, and one
/// blocking thread while it works.
const CODINGS: usize = 32;

/// Digests that are computed at once; more wait.
const DIGESTS: usize = 2;

/// All that is held.
pub(crate) struct Cache {
    pub(crate) memory: MemoryTier,
    pub(crate) disk: Option<DiskTier>,
    pub(crate) fills: Coalesce,
    /// Keys whose last answer was not for everyone: requests for them do not wait for each other
    /// ("hit for miss").
    pub(crate) uncacheable: Moka<CacheKey, ()>,
    pub(crate) metrics: Metrics,
    /// Memory for objects that are not in a tier yet: half as much as the tier itself.
    budget: Arc<Semaphore>,
    codings: Arc<Semaphore>,
    digests: Semaphore,
}

/// Held while an object is coded.
pub(crate) struct CodingRoom {
    _turn: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Cache {
    /// Opens both tiers. A disk that cannot be used is left out with a warning, one that another
    /// process uses is an error. Blocks.
    pub(crate) fn open(config: &Config, metrics: Metrics) -> Result<Self, OpenError> {
        let counters = DiskCounters {
            evictions: metrics.disk_evictions.clone(),
            corrupt: metrics.corrupt_files.clone(),
            cached_reads: metrics.cached_disk_reads.clone(),
            waited_reads: metrics.waited_disk_reads.clone(),
        };
        let disk = match &config.disk {
            None => None,
            Some(disk) => match DiskTier::open(&disk.path, disk.size, counters) {
                Ok(tier) => Some(tier),
                Err(error @ OpenError::InUse { .. }) => return Err(error),
                Err(OpenError::Directory { path, source }) => {
                    metrics.disk_errors.inc();
                    tracing::error!(path = %path.display(), error = %source, "the disk tier cannot be used and is left out");
                    None
                }
            },
        };
        let budget = (config.memory.size / 2).max(config.memory.max_object) / BUDGET_UNIT;
        let memory = MemoryTier::new(
            config.memory.size,
            config.memory.max_object,
            metrics.memory_evictions.clone(),
        );
        if let Some(disk) = &disk {
            disk.when_a_file_leaves(memory.closer());
        }
        Ok(Self {
            memory,
            disk,
            fills: Coalesce::default(),
            uncacheable: memory::expiring(UNCACHEABLE_KEYS, UNCACHEABLE_FOR),
            metrics,
            budget: Arc::new(Semaphore::new(
                (budget as usize).clamp(1, Semaphore::MAX_PERMITS),
            )),
            codings: Arc::new(Semaphore::new(CODINGS)),
            digests: Semaphore::new(DIGESTS),
        })
    }

    /// Sets aside what coding an object of `length` bytes takes. `None` if too much is under way.
    pub(crate) fn reserve_coding(&self, length: u64) -> Option<CodingRoom> {
        Some(CodingRoom {
            _turn: self.codings.clone().try_acquire_owned().ok()?,
            _memory: self.reserve_memory(length)?,
        })
    }

    /// SHA-256 of pieces in order, on a blocking thread.
    pub(crate) async fn sha_256(&self, pieces: Vec<Bytes>) -> Option<Sha256> {
        let _turn = self.digests.acquire().await.ok()?;
        let digest = move || {
            let mut digester = Digester::new();
            for piece in &pieces {
                digester.update(piece);
            }
            digester.finish()
        };
        tokio::task::spawn_blocking(digest).await.ok()
    }

    /// Whether a tier has something under a key.
    pub(crate) fn holds(&self, key: &CacheKey) -> bool {
        let on_disk = |disk: &DiskTier| disk.contains(key.as_str());
        self.memory.get(key.as_str()).is_some() || self.disk.as_ref().is_some_and(on_disk)
    }

    /// Sets memory aside for an object of `length` bytes. `None` if so many are arriving already that
    /// this one must go without.
    pub(crate) fn reserve_memory(&self, length: u64) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(length.div_ceil(BUDGET_UNIT).max(1)).ok()?;
        self.budget.clone().try_acquire_many_owned(units).ok()
    }

    /// Opens a file of the disk tier, if there is one for the key.
    pub(crate) async fn open_from_disk(&self, key: &CacheKey) -> Option<Arc<Entry>> {
        let disk = self.disk.clone()?;
        if !disk.contains(key.as_str()) {
            return None;
        }
        let key = key.clone();
        tokio::task::spawn_blocking(move || disk.open_entry(key.as_str()))
            .await
            .ok()?
            .map(Arc::new)
    }

    /// A file could not be read: it is dropped, and counted if it was damaged.
    pub(crate) fn drop_unreadable(&self, key: &str, object: &DiskObject, error: &ReadError) {
        self.memory.remove(key);
        if let Some(disk) = &self.disk {
            disk.drop_unreadable(object, error);
        }
    }

    /// Makes an entry the answer for its key.
    pub(crate) fn publish(&self, key: &CacheKey, entry: Arc<Entry>) {
        match &entry.content {
            Content::Memory(_) => self.memory.insert(key.clone(), entry),
            Content::Disk(_) => self.memory.insert_open_file(key.clone(), entry),
        }
    }

    /// Metadata renewed by the origin: the file's head stays as it is. If the surrogate keys are others
    /// now, no purge would find the file by them, so it goes.
    pub(crate) async fn renew_on_disk(&self, key: &CacheKey, old: &Meta, new: &Arc<Meta>) {
        let Some(disk) = self.disk.clone().filter(|disk| disk.contains(key.as_str())) else {
            return;
        };
        if surrogate::tags(&old.headers) == surrogate::tags(&new.headers) {
            disk.renew(key.as_str(), new.clone());
        } else {
            let key = key.clone();
            let _ = tokio::task::spawn_blocking(move || disk.remove(key.as_str())).await;
        }
    }

    /// Removes an object from both tiers, some time soon.
    pub(crate) fn forget(self: &Arc<Self>, key: &CacheKey) {
        self.memory.remove(key.as_str());
        let (cache, key) = (self.clone(), key.clone());
        tokio::spawn(async move { cache.remove(&key).await });
    }

    /// Removes an object from both tiers.
    pub(crate) async fn remove(&self, key: &CacheKey) {
        self.memory.remove(key.as_str());
        if let Some(disk) = self.disk.clone().filter(|disk| disk.contains(key.as_str())) {
            let key = key.clone();
            let _ = tokio::task::spawn_blocking(move || disk.remove(key.as_str())).await;
        }
    }

    /// Removes what `purge` covers. It returns when the files are gone, so that no restart brings
    /// them back. Fills go first: one that ends meanwhile must not publish what is being removed.
    pub(crate) async fn purge(&self, purge: &Purge) -> PurgeReport {
        let fills = match purge {
            Purge::SurrogateKey(key) => self.fills.discard_tagged(surrogate::tag(key.as_bytes())),
            _ => self.fills.discard(|path| purge.covers(path)),
        };
        let memory = match purge {
            Purge::Key(key) => self.memory.remove_where(|path, _| key::belongs(path, key)),
            Purge::Prefix(prefix) => self.memory.remove_where(|path, _| path.starts_with(prefix)),
            Purge::SurrogateKey(key) => self.memory.remove_where(|_, entry| {
                surrogate::keys(&entry.meta.headers).any(|has| has == key.as_bytes())
            }),
        };
        let disk = match self.disk.clone() {
            None => 0,
            Some(disk) => {
                let purge = purge.clone();
                let removed = tokio::task::spawn_blocking(move || match &purge {
                    Purge::Key(key) => key::ENDS_OF_PATH
                        .iter()
                        .fold(u64::from(disk.remove(key)), |removed, end| {
                            removed + disk.remove_prefix(&format!("{key}{end}"))
                        }),
                    Purge::Prefix(prefix) => disk.remove_prefix(prefix),
                    Purge::SurrogateKey(key) => disk.remove_tagged(&surrogate::tag(key.as_bytes())),
                });
                removed.await.unwrap_or(0)
            }
        };
        self.metrics.purged.inc_by(memory.max(disk));
        PurgeReport {
            memory,
            disk,
            fills,
        }
    }
}
