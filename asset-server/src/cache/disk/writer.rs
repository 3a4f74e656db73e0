//! Writes one object into a temporary file and publishes it by renaming.
//!
//! Nothing is synced to the device. A cache may lose a file, and only must not serve a wrong one:
//! every byte is checked against a CRC32C on its way out, so what a power cut leaves half-written is
//! found and fetched again, and what `kill -9` leaves is still named temporary and is removed at the
//! next start.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Shared;
use super::format::{self, BLOCK, HEADER, Header};
use super::journal::record::Record;
use super::object::{DiskObject, Layout};
use crate::cache::entry::Meta;
use crate::cache::key::CacheKey;
use crate::cache::surrogate::{self, Tag};

/// A file being written. Dropped before [`DiskWriter::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct DiskWriter {
    tier: Arc<Shared>,
    key: CacheKey,
    id: u64,
    file: Option<Arc<File>>,
    temporary: PathBuf,
    meta: Vec<u8>,
    tags: Vec<Tag>,
    sums: Vec<u32>,
    body_len: u64,
    reserved: u64,
    /// Most bytes of a body that did not say how long it is.
    unannounced: Option<u64>,
}

/// Why an object is not written to disk. The object itself is fine.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The tier has no room for it.
    #[error("the disk tier has no room for the object")]
    NoRoom,
    /// The disk failed.
    #[error("the disk tier cannot be written")]
    Io(#[from] io::Error),
}

impl DiskWriter {
    /// Begins a file for an object of `length` bytes, if that is known. Blocks.
    pub(super) fn create(
        tier: Arc<Shared>,
        key: CacheKey,
        meta: &Meta,
    ) -> Result<Self, WriteError> {
        let id = tier.next_id();
        let capacity = tier.tools.index.capacity();
        let meta_bytes = format::encode_meta(key.as_str(), meta);
        let mut writer = Self {
            temporary: super::path_of(&tier.directory, id, super::PARTIAL),
            tier,
            key,
            id,
            file: None,
            meta: meta_bytes,
            tags: surrogate::tags(&meta.headers),
            sums: Vec::new(),
            body_len: 0,
            reserved: 0,
            // It may never end, and must not push out everything else before it is cut.
            unannounced: meta.length.is_none().then_some(capacity / 2),
        };
        writer.reserve_for(meta.length.unwrap_or(0))?;
        let file = writer.tier.tools.files.create(&writer.temporary)?;
        writer.file = Some(Arc::new(file));
        Ok(writer)
    }

    /// Appends to the body. Every piece but the last is a multiple of [`BLOCK`]. Blocks.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), WriteError> {
        debug_assert!(self.body_len.is_multiple_of(BLOCK as u64));
        let length = self.body_len + piece.len() as u64;
        if self.unannounced.is_some_and(|most| length > most) {
            return Err(WriteError::NoRoom);
        }
        self.reserve_for(length)?;
        let at = self.body_at() + self.body_len;
        self.tier.tools.files.write_at(self.file()?, piece, at)?;
        for (number, block) in (self.body_len / BLOCK as u64..).zip(piece.chunks(BLOCK)) {
            self.sums.push(format::block_sum(self.id, number, block));
        }
        self.body_len += piece.len() as u64;
        Ok(())
    }

    /// What readers need in order to follow the file while it grows.
    pub(crate) fn follow(&self) -> Option<(Arc<File>, Layout, &[u32])> {
        let layout = Layout {
            id: self.id,
            body_at: self.body_at(),
            body_len: self.body_len,
        };
        Some((self.file.clone()?, layout, &self.sums))
    }

    /// Completes the file and makes it the object of its key. Blocks.
    pub fn publish(mut self) -> Result<Arc<DiskObject>, WriteError> {
        let table = format::encode_table(&self.sums);
        let header = Header {
            id: self.id,
            meta_len: self.meta.len() as u32,
            body_len: self.body_len,
            meta_sum: crc32c::crc32c(&self.meta),
            table_sum: crc32c::crc32c(&table),
        };
        let size = self.body_at() + self.body_len + table.len() as u64;
        let mut head = header.encode().to_vec();
        head.extend_from_slice(&self.meta);
        let files = &self.tier.tools.files;
        let file = self.file()?;
        files.write_at(file, &table, self.body_at() + self.body_len)?;
        files.write_at(file, &head, 0)?;
        let reader = file.try_clone()?;
        let published = super::path_of(&self.tier.directory, self.id, super::OBJECT);
        files.rename(&self.temporary, &published)?;
        self.file = None;
        let reserved = std::mem::take(&mut self.reserved);
        let index = &self.tier.tools.index;
        let (found, changes) = index.publish(self.key.as_str(), self.id, size, reserved);
        if !self.tags.is_empty() {
            index.tag(self.key.as_str(), self.id, &self.tags);
        }
        let inserted = Record::Insert {
            id: self.id,
            size,
            main: false,
            tags: &self.tags,
            key: self.key.as_str(),
        };
        self.tier.record_and_delete(Some(inserted), &changes);
        let found = found.ok_or(WriteError::NoRoom)?;
        Ok(Arc::new(DiskObject::written(
            reader,
            header,
            std::mem::take(&mut self.sums),
            self.key.clone(),
            found,
            self.tier.tools.clone(),
        )))
    }

    fn body_at(&self) -> u64 {
        (HEADER + self.meta.len()) as u64
    }

    fn file(&self) -> io::Result<&File> {
        self.file
            .as_deref()
            .ok_or_else(|| io::Error::other("the file is closed"))
    }

    /// Sets room aside for a body of `length`; for one of unknown length in growing steps.
    fn reserve_for(&mut self, length: u64) -> Result<(), WriteError> {
        let needed = self.body_at() + length + length.div_ceil(BLOCK as u64) * 4;
        if needed > self.reserved {
            let more = needed - self.reserved;
            let index = &self.tier.tools.index;
            let changes = index.reserve(more).ok_or(WriteError::NoRoom)?;
            self.reserved += more;
            self.tier.record_and_delete(None, &changes);
        }
        Ok(())
    }
}

impl Drop for DiskWriter {
    fn drop(&mut self) {
        self.tier.tools.index.release(self.reserved);
        if self.file.is_some() {
            // Nothing can be done about a failure: the next start removes it.
            let _ = self.tier.tools.files.remove(&self.temporary);
        }
    }
}
