//! One file of the disk tier, open for reading: every byte is verified before it is handed out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{self, BLOCK, FormatError, HEADER, Header};
use super::index::Slot;
use crate::cache::entry::Meta;

/// An open file whose header, metadata and checksum table have been verified.
#[derive(Debug)]
pub struct DiskObject {
    file: File,
    header: Header,
    sums: Vec<u32>,
    slot: Arc<Slot>,
}

/// Why bytes of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("the cache file cannot be read")]
    Io(#[from] io::Error),
    /// The file is damaged.
    #[error("the cache file is damaged")]
    Corrupt(#[from] FormatError),
}

impl ReadError {
    /// Whether the file's content is at fault, not the disk.
    pub fn is_corrupt(&self) -> bool {
        match self {
            Self::Corrupt(_) => true,
            Self::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        }
    }
}

impl DiskObject {
    /// Verifies an open file against what the index knows of it. Blocks.
    pub(super) fn open(file: File, slot: Arc<Slot>) -> Result<(Self, Meta), ReadError> {
        let (header, key, meta) = read_head(&file)?;
        if header.id != slot.id || key != slot.key.as_str() || header.file_len() != Some(slot.size)
        {
            return Err(FormatError::Malformed.into());
        }
        if file.metadata()?.len() != slot.size {
            return Err(FormatError::Truncated.into());
        }
        let mut table = vec![0; header.blocks() as usize * 4];
        file.read_exact_at(&mut table, header.body_at() + header.body_len)?;
        let sums = format::decode_table(&header, &table)?;
        Ok((
            Self {
                file,
                header,
                sums,
                slot,
            },
            meta,
        ))
    }

    /// A file that this process has just written.
    pub(super) fn written(file: File, header: Header, sums: Vec<u32>, slot: Arc<Slot>) -> Self {
        Self {
            file,
            header,
            sums,
            slot,
        }
    }

    /// Bytes of the body.
    pub fn length(&self) -> u64 {
        self.header.body_len
    }

    /// Place in the index.
    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Bytes of memory that the open file takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.sums.len() * 4
    }

    /// At most `count` bytes of the body from `offset`, verified. Blocks.
    pub fn read(&self, offset: u64, count: usize) -> Result<Bytes, ReadError> {
        let layout = Layout {
            id: self.header.id,
            body_at: self.header.body_at(),
            body_len: self.header.body_len,
        };
        layout.read(
            &self.file,
            |number| self.sums.get(number as usize).copied(),
            offset,
            count,
        )
    }
}

/// Where the blocks of a body are in a file, complete or still growing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) id: u64,
    pub(crate) body_at: u64,
    /// Bytes of the body that are in the file.
    pub(crate) body_len: u64,
}

impl Layout {
    /// At most `count` bytes from `offset`: whole blocks are read, each is checked against its sum.
    pub(crate) fn read(
        self,
        file: &File,
        sum_of: impl Fn(u64) -> Option<u32>,
        offset: u64,
        count: usize,
    ) -> Result<Bytes, ReadError> {
        let block = BLOCK as u64;
        let end = offset.saturating_add(count as u64).min(self.body_len);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let first = offset / block;
        let from = first * block;
        let until = (end.div_ceil(block) * block).min(self.body_len);
        let mut bytes = vec![0; (until - from) as usize];
        file.read_exact_at(&mut bytes, self.body_at + from)?;
        for (number, content) in (first..).zip(bytes.chunks(BLOCK)) {
            if sum_of(number) != Some(format::block_sum(self.id, number, content)) {
                return Err(FormatError::Checksum.into());
            }
        }
        Ok(Bytes::from(bytes).slice((offset - from) as usize..(end - from) as usize))
    }
}

/// Header, key and metadata of a file. Blocks. The body is not read.
pub(super) fn read_head(file: &File) -> Result<(Header, String, Meta), ReadError> {
    // Nearly all heads fit into one page, which is then the only read.
    let mut bytes = vec![0; 4096];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    bytes.truncate(have);
    let header = Header::decode(&bytes)?;
    let end = HEADER + header.meta_len as usize;
    if bytes.len() < end {
        bytes.resize(end, 0);
        file.read_exact_at(&mut bytes[have..], have as u64)?;
    }
    let (key, meta) = format::decode_meta(&header, &bytes[HEADER..end])?;
    Ok((header, key, meta))
}
