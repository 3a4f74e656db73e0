//! The memory tier: whole objects, bounded in bytes with their bookkeeping. The only module that
//! names `moka`.
//!
//! Admission is moka's TinyLFU: a scan of objects asked for once does not push out the hot set.

use std::sync::Arc;
use std::time::Duration;

pub(crate) use moka::sync::Cache as Moka;
use prometheus::IntCounter;

use super::entry::{Content, Entry};
use super::key::CacheKey;

/// What moka itself, the key and two `Arc`s cost per entry, in bytes; measured on a million entries.
const OVERHEAD: usize = 320;

/// Open files of the disk tier kept at hand, so that a large hot object is not opened anew each time.
const OPEN_FILES: u64 = 2048;

/// A set of keys, each of which is forgotten some time after it came.
pub(crate) fn expiring(capacity: u64, ttl: Duration) -> Moka<CacheKey, ()> {
    Moka::builder()
        .max_capacity(capacity)
        .time_to_live(ttl)
        .build()
}

/// Whole objects in memory, and open files of those that are too large for it.
#[derive(Debug)]
pub struct MemoryTier {
    objects: Moka<CacheKey, Arc<Entry>>,
    open_files: Moka<CacheKey, Arc<Entry>>,
    max_object: u64,
}

impl MemoryTier {
    /// A tier of `size` bytes for objects of at most `max_object` bytes.
    pub fn new(size: u64, max_object: u64, evictions: IntCounter) -> Self {
        let objects = Moka::builder()
            .max_capacity(size)
            .weigher(|key: &CacheKey, entry: &Arc<Entry>| {
                u32::try_from(OVERHEAD + key.as_str().len() + entry.weight()).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, _, cause| {
                if cause.was_evicted() {
                    evictions.inc();
                }
            })
            .build();
        Self {
            objects,
            open_files: Moka::new(OPEN_FILES),
            max_object,
        }
    }

    /// Whether an object of `length` bytes belongs here.
    pub fn admits(&self, length: u64) -> bool {
        length <= self.max_object
    }

    /// The entry under a normalised path. Allocates nothing.
    pub fn get(&self, path: &str) -> Option<Arc<Entry>> {
        self.objects.get(path).or_else(|| self.open_files.get(path))
    }

    /// Keeps an entry whose bytes are in memory.
    pub fn insert(&self, key: CacheKey, entry: Arc<Entry>) {
        self.open_files.invalidate(key.as_str());
        self.objects.insert(key, entry);
    }

    /// Keeps an entry whose bytes are in a file.
    pub fn insert_open_file(&self, key: CacheKey, entry: Arc<Entry>) {
        self.objects.invalidate(key.as_str());
        self.open_files.insert(key, entry);
    }

    /// Closes the file of a key and an id, if it is kept open here.
    pub fn closer(&self) -> impl Fn(&str, u64) + Send + Sync + 'static {
        let open_files = self.open_files.clone();
        move |path, id| {
            let is_it = |entry: &Arc<Entry>| match &entry.content {
                Content::Disk(object) => object.id() == id,
                Content::Memory(_) => false,
            };
            if open_files.get(path).as_ref().is_some_and(is_it) {
                open_files.invalidate(path);
                // What was invalidated is kept until then.
                open_files.run_pending_tasks();
            }
        }
    }

    /// Removes one entry; whether there was one.
    pub fn remove(&self, path: &str) -> bool {
        let object = self.objects.remove(path).is_some();
        self.open_files.remove(path).is_some() || object
    }

    /// Removes every entry that is `covered`; how many there were.
    pub fn remove_where(&self, covered: impl Fn(&str, &Entry) -> bool) -> u64 {
        let mut removed = 0;
        for cache in [&self.objects, &self.open_files] {
            let keys = cache
                .iter()
                .filter(|(key, entry)| covered(key.as_str(), entry))
                .map(|(key, _)| key);
            for key in keys.collect::<Vec<_>>() {
                removed += u64::from(cache.remove(key.as_str()).is_some());
            }
        }
        removed
    }

    /// Entries and the bytes they take.
    pub fn usage(&self) -> (u64, u64) {
        self.objects.run_pending_tasks();
        (self.objects.entry_count(), self.objects.weighted_size())
    }
}
