//! The disk tier: one file per object, bounded in bytes, verified before a byte is served.
//!
//! `<two hex digits>/<id>.object` is a complete object, `.partial` one being written. Ids only grow,
//! so that of two files of one key the younger is known. At start the heads of all files are read,
//! never their bodies.
//!
//! Everything here blocks; the async side calls it from blocking threads.

pub mod format;
mod index;
mod object;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use prometheus::IntCounter;

use self::index::{Index, Slot};
use super::entry::{Content, Entry, Meta};
use super::key::CacheKey;

pub(crate) use self::object::Layout;
pub use self::object::{DiskObject, ReadError};
pub use self::writer::{DiskWriter, WriteError};

const OBJECT: &str = "object";
const PARTIAL: &str = "partial";

/// Objects in files.
#[derive(Clone, Debug)]
pub struct DiskTier(Arc<Shared>);

/// What the tier counts.
#[derive(Clone, Debug)]
pub struct DiskCounters {
    /// Files deleted to make room.
    pub evictions: IntCounter,
    /// Files dropped because they were damaged.
    pub corrupt: IntCounter,
}

/// Why the tier cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or locked.
    #[error("cannot use the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("the directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// What the tier and its writers have in common.
#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    index: Index,
    last_id: AtomicU64,
    counters: DiskCounters,
    /// Held for as long as the tier is used; the kernel lets go of it however the process ends.
    _lock: File,
}

impl DiskTier {
    /// Opens the directory, removes what a crash left, and reads the head of every file.
    pub fn open(
        directory: &Path,
        capacity: u64,
        counters: DiskCounters,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = File::create(directory.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: directory.to_owned(),
                });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let shared = Shared {
            directory: directory.to_owned(),
            index: Index::new(capacity),
            last_id: AtomicU64::new(now.as_nanos() as u64),
            counters,
            _lock: lock,
        };
        shared.scan().map_err(failed)?;
        Ok(Self(Arc::new(shared)))
    }

    /// The object of a path, open and its head verified. A damaged file is dropped and counted.
    pub fn open_entry(&self, path: &str) -> Option<Entry> {
        let slot = self.0.index.get(path)?;
        let opened = File::open(self.0.path_of(slot.id, OBJECT))
            .map_err(ReadError::from)
            .and_then(|file| DiskObject::open(file, slot.clone()));
        match opened {
            Ok((object, meta)) => {
                let renewed = slot
                    .renewed
                    .read()
                    .unwrap_or_else(|e| e.into_inner())
                    .clone();
                let meta = renewed.unwrap_or_else(|| Arc::new(meta));
                Some(Entry {
                    meta,
                    content: Content::Disk(Arc::new(object)),
                })
            }
            Err(error) => {
                self.drop_damaged(&slot, &error);
                None
            }
        }
    }

    /// Whether there is a file for a path, without opening it.
    pub fn contains(&self, path: &str) -> bool {
        self.0.index.get(path).is_some()
    }

    /// Begins a file. The writer's `publish` makes it visible.
    pub fn create(&self, key: CacheKey, meta: &Meta) -> Result<DiskWriter, WriteError> {
        DiskWriter::create(self.0.clone(), key, meta)
    }

    /// Metadata renewed by the origin's 304. It is kept in memory only: after a restart the object
    /// is revalidated once more, which costs less than rewriting heads.
    pub fn renew(&self, path: &str, meta: Arc<Meta>) {
        if let Some(slot) = self.0.index.get(path) {
            *slot.renewed.write().unwrap_or_else(|e| e.into_inner()) = Some(meta);
        }
    }

    /// Drops a file that could not be read.
    pub fn drop_unreadable(&self, object: &DiskObject, error: &ReadError) {
        self.drop_damaged(object.slot(), error);
    }

    /// Removes one object; whether there was one.
    pub fn remove(&self, path: &str) -> bool {
        self.0.index.get(path).is_some_and(|slot| {
            let removed = self.0.index.remove(&slot);
            if removed {
                self.0.delete(&[slot]);
            }
            removed
        })
    }

    /// Removes every object whose path starts with `prefix`; how many there were.
    pub fn remove_prefix(&self, prefix: &str) -> u64 {
        let removed = self.0.index.remove_prefix(prefix);
        self.0.delete(&removed);
        removed.len() as u64
    }

    /// Files, and the bytes they take.
    pub fn usage(&self) -> (u64, u64) {
        self.0.index.usage()
    }

    fn drop_damaged(&self, slot: &Arc<Slot>, error: &ReadError) {
        if self.0.index.remove(slot) {
            let damaged = error.is_corrupt();
            if damaged {
                self.0.counters.corrupt.inc();
            }
            tracing::warn!(key = slot.key.as_str(), damaged, %error, "a cache file was dropped and will be fetched again");
            self.0.delete(std::slice::from_ref(slot));
        }
    }
}

impl Shared {
    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn path_of(&self, id: u64, extension: &str) -> PathBuf {
        // Ids count up, so their low digits spread files evenly over the folders.
        self.directory
            .join(format!("{:02x}/{id:016x}.{extension}", id & 0xff))
    }

    fn delete(&self, slots: &[Arc<Slot>]) {
        for slot in slots {
            if let Err(error) = fs::remove_file(self.path_of(slot.id, OBJECT))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(key = slot.key.as_str(), %error, "a cache file cannot be deleted");
            }
        }
    }

    fn evict(&self, slots: &[Arc<Slot>]) {
        self.counters.evictions.inc_by(slots.len() as u64);
        self.delete(slots);
    }

    /// Builds the index. What is damaged, left over, or not ours to judge is removed from our folders.
    fn scan(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.directory)? {
            let folder = folder?;
            let is_ours = folder
                .file_name()
                .to_str()
                .is_some_and(|name| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit()));
            if !is_ours || !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let path = file?.path();
                match self.scan_file(&path) {
                    Ok(Some(slot)) => found.push(slot),
                    Ok(None) => {
                        let _ = fs::remove_file(&path);
                    }
                    Err(error) => {
                        self.counters.corrupt.inc();
                        tracing::warn!(file = %path.display(), %error, "a damaged cache file was removed");
                        let _ = fs::remove_file(&path);
                    }
                }
            }
        }
        found.sort_by_key(|slot| slot.id);
        for slot in found {
            self.last_id.fetch_max(slot.id, Ordering::Relaxed);
            let victims = self.index.insert(slot);
            self.delete(&victims);
        }
        Ok(())
    }

    /// `None` for what is not a complete object by its name.
    fn scan_file(&self, path: &Path) -> Result<Option<Slot>, ReadError> {
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| u64::from_str_radix(stem, 16).ok());
        let (Some(id), true) = (id, path.extension().is_some_and(|e| e == OBJECT)) else {
            return Ok(None);
        };
        if self.path_of(id, OBJECT) != path {
            return Ok(None);
        }
        let file = File::open(path)?;
        let (header, key, _) = object::read_head(&file)?;
        let size = file.metadata()?.len();
        if header.id != id || header.file_len() != Some(size) {
            return Err(format::FormatError::Truncated.into());
        }
        Ok(Some(Slot::new(CacheKey::new(&key), id, size)))
    }
}

#[cfg(test)]
mod tests;
