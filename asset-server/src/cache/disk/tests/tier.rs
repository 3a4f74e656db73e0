//! A tier in a directory of its own, with objects that tell which version they are.

use std::path::PathBuf;
use std::sync::Arc;

use prometheus::IntCounter;
use tempfile::TempDir;

use super::super::files::Files;
use super::super::recover::{Recovery, recover};
use super::super::*;
use crate::cache::entry::CHUNK;

pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) files: Arc<Files>,
    pub(super) counters: DiskCounters,
    pub(super) capacity: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let counter = |name: &str| IntCounter::new(name, "help").expect("a counter");
        Self {
            directory: TempDir::new().expect("a directory"),
            files: Arc::default(),
            counters: DiskCounters {
                evictions: counter("evictions"),
                corrupt: counter("corrupt"),
                cached_reads: counter("cached"),
                waited_reads: counter("waited"),
            },
            capacity: 64 << 20,
        }
    }

    pub(super) fn try_open(&self) -> Result<DiskTier, OpenError> {
        let (directory, counters) = (self.directory.path(), self.counters.clone());
        DiskTier::open_with(directory, self.capacity, counters, self.files.clone())
    }

    pub(super) fn open(&self) -> DiskTier {
        self.try_open().expect("the tier opens")
    }

    /// What a start would find.
    pub(super) fn recovery(&self) -> Recovery {
        recover(self.directory.path(), &self.files).expect("the directory can be read")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.directory.path().join(journal::NAME)
    }

    /// All complete files.
    pub(super) fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.directory.path()).expect("a directory") {
            let folder = folder.expect("an entry").path();
            if folder.is_dir() {
                let files = fs::read_dir(folder).expect("a directory");
                found.extend(files.map(|file| file.expect("an entry").path()));
            }
        }
        found.retain(|file| file.extension().is_some_and(|e| e == OBJECT));
        found.sort();
        found
    }
}

/// Bytes that no other key or version has.
pub(super) fn body(key: &str, version: u8, length: usize) -> Vec<u8> {
    let seed = key.bytes().fold(u32::from(version), |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    // The pattern's length is prime, so that no block is like another.
    let pattern: Vec<u8> = (0..251u32)
        .map(|i| (seed ^ i.wrapping_mul(0x9e37_79b1)).to_le_bytes()[3])
        .collect();
    let mut bytes = pattern.repeat(length / pattern.len() + 1);
    bytes.truncate(length);
    bytes
}

pub(super) fn put(tier: &DiskTier, key: &str, body: &[u8]) -> Result<Arc<DiskObject>, WriteError> {
    let mut writer = tier.create(CacheKey::new(key), &super::meta(body.len() as u64))?;
    for piece in body.chunks(format::BLOCK) {
        writer.append(piece)?;
    }
    writer.publish()
}

/// What a client would get from the tier: all of the object, or nothing.
pub(super) fn get(tier: &DiskTier, key: &str) -> Option<Vec<u8>> {
    let entry = tier.open_entry(key)?;
    let Content::Disk(object) = entry.content else {
        return None;
    };
    let mut got = Vec::new();
    while (got.len() as u64) < object.length() {
        let read = match object.read_now(got.len() as u64, CHUNK, object.length()) {
            Read::Done(read) => read,
            Read::Waits(waiting) => waiting.finish(),
        };
        match read {
            Ok(bytes) => got.extend_from_slice(&bytes),
            Err(error) => {
                tier.drop_unreadable(&object, &error);
                return None;
            }
        }
    }
    Some(got)
}
