//! The disk tier: one file per object, bounded in bytes, verified before a byte is served.
//!
//! `<two hex digits>/<id>.object` is a complete object, `.partial` one being written. Ids only grow,
//! so that of two files of one key the younger is known. `journal` repeats what the files are, so that a
//! start reads one file and the folders' listings. See `docs/decisions/0007-disk-tier.md`.
//!
//! All of this blocks but for [`DiskObject::read_now`]; the async side calls it from blocking threads.

pub mod format;

pub mod eviction;
mod index;

pub mod journal;
mod recover;
mod renewed;

mod buffers;
mod object;
mod writer;

mod files;

#[cfg(test)]
mod faults;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use prometheus::IntCounter;

use self::buffers::Buffers;
use self::files::Files;
use self::index::{Changes, Found, Index, Known};
use self::journal::Journal;
use self::journal::record::Record;
use self::object::Tools;
use self::renewed::Renewed;
use super::entry::{Content, Entry, Meta};
use super::key::CacheKey;
use super::surrogate::Tag;

pub(crate) use self::object::Layout;
pub use self::object::{DiskObject, Read, ReadError, Waiting};
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
    /// Reads that the page cache answered at once.
    pub cached_reads: IntCounter,
    /// Reads that had to wait for the device, in a blocking thread.
    pub waited_reads: IntCounter,
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

/// What is called for each file that leaves.
struct Left(Box<LeftFn>);

type LeftFn = dyn Fn(&str, u64) + Send + Sync;

impl std::fmt::Debug for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Left")
    }
}

/// What the tier and its writers have in common.
#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    tools: Arc<Tools>,
    journal: Journal,
    renewed: Renewed,
    /// Files that left the index and could not be deleted: a start must not take them for new.
    undeleted: Mutex<Vec<u64>>,
    last_id: AtomicU64,
    left: OnceLock<Left>,
    counters: DiskCounters,
    /// Held for as long as the tier is used; the kernel lets go of it however the process ends.
    _lock: File,
}

impl DiskTier {
    /// Opens the directory, removes what a crash left, and learns what is there: from the journal, or
    /// from the heads of files that it does not know.
    pub fn open(
        directory: &Path,
        capacity: u64,
        counters: DiskCounters,
    ) -> Result<Self, OpenError> {
        Self::open_with(directory, capacity, counters, Arc::default())
    }

    fn open_with(
        directory: &Path,
        capacity: u64,
        counters: DiskCounters,
        files: Arc<Files>,
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
        let recovery = recover::recover(directory, &files).map_err(failed)?;
        counters.corrupt.inc_by(recovery.damaged);
        let shared = Shared {
            directory: directory.to_owned(),
            tools: Arc::new(Tools {
                files: files.clone(),
                index: Index::new(capacity),
                buffers: Arc::new(Buffers::default()),
                cached_reads: counters.cached_reads.clone(),
                waited_reads: counters.waited_reads.clone(),
            }),
            journal: Journal::open(directory, files),
            renewed: Renewed::default(),
            undeleted: Mutex::new(recovery.undeleted),
            left: OnceLock::new(),
            last_id: AtomicU64::new(recovery.last_id.max(now.as_nanos() as u64)),
            counters,
            _lock: lock,
        };
        let live = recovery.files.len() as u64;
        let stale = recovery.journal.records.saturating_sub(live);
        if live > 0 {
            tracing::info!(
                files = live,
                heads_read = recovery.heads_read,
                damaged = recovery.damaged,
                "the disk tier was opened"
            );
        }
        for file in recovery.files {
            let index = &shared.tools.index;
            let tagged = (!file.tags.is_empty()).then(|| file.key.clone());
            let changes = index.restore(file.key, file.id, file.size, file.main);
            if let Some(key) = tagged {
                index.tag(&key, file.id, &file.tags);
            }
            shared.record_and_delete(None, &changes);
        }
        if recovery.heads_read > 0 || recovery.journal.skipped > 0 || stale > live {
            shared.compact();
        }
        Ok(Self(Arc::new(shared)))
    }

    /// The object of a path, open and its head verified. A damaged file is dropped and counted. Blocks.
    pub fn open_entry(&self, path: &str) -> Option<Entry> {
        let tools = &self.0.tools;
        let found = tools.index.get(path)?;
        let opened = tools
            .files
            .open(&path_of(&self.0.directory, found.id, OBJECT))
            .map_err(ReadError::from)
            .and_then(|file| DiskObject::open(file, path, found, tools.clone()));
        match opened {
            Ok((object, meta)) => {
                let renewed = self.0.renewed.get(found.id);
                let meta = renewed.unwrap_or_else(|| Arc::new(meta));
                Some(Entry {
                    meta,
                    content: Content::Disk(Arc::new(object)),
                })
            }
            Err(error) => {
                self.drop_damaged(path, found, &error);
                None
            }
        }
    }

    /// Calls `left` with the key and the id of each file that leaves the tier, so that nobody keeps it
    /// open: a deleted file takes its room on the device until it is closed.
    pub fn when_a_file_leaves(&self, left: impl Fn(&str, u64) + Send + Sync + 'static) {
        let _ = self.0.left.set(Left(Box::new(left)));
    }

    /// Whether there is a file for a path, without opening it.
    pub fn contains(&self, path: &str) -> bool {
        self.0.tools.index.peek(path).is_some()
    }

    /// Begins a file. The writer's `publish` makes it visible.
    pub fn create(&self, key: CacheKey, meta: &Meta) -> Result<DiskWriter, WriteError> {
        DiskWriter::create(self.0.clone(), key, meta)
    }

    /// Metadata renewed by the origin's 304. It is kept in memory only: after a restart the object
    /// is revalidated once more, which costs less than rewriting heads.
    pub fn renew(&self, path: &str, meta: Arc<Meta>) {
        if let Some(found) = self.0.tools.index.peek(path) {
            self.0.renewed.insert(found.id, meta);
        }
    }

    /// Drops a file that could not be read. Blocks for one append and one deletion.
    pub fn drop_unreadable(&self, object: &DiskObject, error: &ReadError) {
        self.drop_damaged(object.key(), object.found(), error);
    }

    /// Removes one object; whether there was one. Blocks.
    pub fn remove(&self, path: &str) -> bool {
        let removed = self.0.tools.index.remove(path);
        if self.0.forget(removed.as_slice()) {
            self.0.compact();
        }
        removed.is_some()
    }

    /// Removes every object whose path starts with `prefix`; how many there were. Blocks, but holds
    /// nobody else up: it goes through the index in portions.
    pub fn remove_prefix(&self, prefix: &str) -> u64 {
        let mut removed = 0;
        self.0.tools.index.remove_prefix(prefix, |files| {
            removed += files.len() as u64;
            if self.0.forget(&files) {
                self.0.compact();
            }
        });
        removed
    }

    /// Removes every object with a surrogate key; how many there were. Blocks, and looks at nothing but
    /// the index.
    pub fn remove_tagged(&self, tag: &Tag) -> u64 {
        let mut removed = 0;
        self.0.tools.index.remove_tagged(tag, |files| {
            removed += files.len() as u64;
            if self.0.forget(&files) {
                self.0.compact();
            }
        });
        removed
    }

    /// Files, and the bytes they take.
    pub fn usage(&self) -> (u64, u64) {
        self.0.tools.index.usage()
    }

    fn drop_damaged(&self, path: &str, found: Found, error: &ReadError) {
        if let Some(removed) = self.0.tools.index.remove_found(found) {
            let damaged = error.is_corrupt();
            if damaged {
                self.0.counters.corrupt.inc();
            }
            tracing::warn!(key = path, damaged, %error, "a cache file was dropped and will be fetched again");
            // Never a compaction: this may be an async thread.
            self.0.forget(&[removed]);
        }
    }
}

impl Shared {
    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Records what the index went through, then deletes the files that left it. Blocks.
    fn record_and_delete(&self, inserted: Option<Record<'_>>, changes: &Changes) {
        let leaving = || changes.evicted.iter().chain(&changes.replaced);
        let promoted = changes
            .promoted
            .iter()
            .map(|id| Record::Promote { id: *id });
        let removed = leaving().map(|file| Record::Remove { id: file.id });
        let due = self
            .journal
            .append(inserted.into_iter().chain(promoted).chain(removed));
        self.counters.evictions.inc_by(changes.evicted.len() as u64);
        self.delete(leaving());
        if due {
            self.compact();
        }
    }

    /// Records that files are gone, then deletes them. Whether a compaction is due. Blocks.
    fn forget(&self, files: &[Known]) -> bool {
        let due = self
            .journal
            .append(files.iter().map(|file| Record::Remove { id: file.id }));
        self.delete(files.iter());
        due
    }

    fn delete<'a>(&self, files: impl Iterator<Item = &'a Known> + Clone) {
        self.renewed.forget(files.clone().map(|file| file.id));
        for file in files {
            if let Some(Left(left)) = self.left.get() {
                left(&file.key, file.id);
            }
            let path = path_of(&self.directory, file.id, OBJECT);
            if let Err(error) = self.tools.files.remove(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(key = &*file.key, %error, "a cache file cannot be deleted");
                self.undeleted().push(file.id);
            }
        }
    }

    fn undeleted(&self) -> MutexGuard<'_, Vec<u64>> {
        self.undeleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries again to delete what could not be deleted, and records what still cannot.
    fn encode_undeleted(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.undeleted().retain(|id| {
            let path = path_of(&self.directory, *id, OBJECT);
            let remains = self
                .tools
                .files
                .remove(&path)
                .is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
            if remains {
                Record::Remove { id: *id }.encode(&mut bytes);
            }
            remains
        });
        bytes
    }

    /// Writes the journal anew. Blocks, but holds nobody else up.
    fn compact(&self) {
        let Some(mut compaction) = self.journal.begin_compaction() else {
            return;
        };
        let written = (0..)
            .map_while(|page| self.tools.index.encode_page(page))
            .chain(std::iter::once_with(|| self.encode_undeleted()))
            .all(|bytes| self.journal.write(&mut compaction, &bytes).is_some());
        self.journal.end_compaction(written.then_some(compaction));
    }
}

/// Where a file is. Ids count up, so their low digits spread files evenly over the folders.
fn path_of(directory: &Path, id: u64, extension: &str) -> PathBuf {
    directory.join(format!("{:02x}/{id:016x}.{extension}", id & 0xff))
}

#[cfg(test)]
mod tests;
