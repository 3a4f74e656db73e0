//! One file of the disk tier, open for reading: every byte is verified before it is handed out.
//!
//! What is in the page cache is read on the spot, by `preadv2` with `RWF_NOWAIT` into a reused buffer,
//! and is verified and sent from there: one copy in user memory, no thread switched. What would wait
//! for the device becomes a [`Waiting`], for a blocking thread to finish in the same buffer.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use prometheus::IntCounter;

use super::buffers::{Buffer, Buffers};
use super::files::{self, Files};
use super::format::{self, BLOCK, FormatError, HEADER, Header};
use super::index::{Found, Index};
use crate::cache::entry::{CHUNK, Meta};
use crate::cache::key::CacheKey;

/// Bytes that the kernel is asked to read ahead once a reader had to wait.
const READ_AHEAD: u64 = 2 << 20;

/// An open file whose header, metadata and checksum table have been verified.
#[derive(Debug)]
pub struct DiskObject {
    file: File,
    header: Header,
    sums: Vec<u32>,
    key: CacheKey,
    found: Found,
    /// It was opened for a use that has been counted.
    counted: AtomicBool,
    tools: Arc<Tools>,
}

/// What all open files of a tier read with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) files: Arc<Files>,
    pub(super) index: Index,
    pub(super) buffers: Arc<Buffers>,
    /// Reads that the page cache answered.
    pub(super) cached_reads: IntCounter,
    /// Reads that had to wait for the device.
    pub(super) waited_reads: IntCounter,
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

/// A read that does not wait.
#[derive(Debug)]
pub enum Read {
    /// It is done.
    Done(Result<Bytes, ReadError>),
    /// The rest has to come from the device.
    Waits(Waiting),
}

/// A read that has to wait for the device.
#[derive(Debug)]
pub struct Waiting {
    object: Arc<DiskObject>,
    buffer: Buffer,
    have: usize,
    part: Part,
    ahead: u64,
}

impl DiskObject {
    /// The number of its file.
    pub fn id(&self) -> u64 {
        self.header.id
    }

    /// Verifies an open file against what the index knows of it. Blocks.
    pub(super) fn open(
        file: File,
        path: &str,
        found: Found,
        tools: Arc<Tools>,
    ) -> Result<(Self, Meta), ReadError> {
        let (header, key, meta) = read_head(&file)?;
        if header.id != found.id || key != path || header.file_len() != Some(found.size) {
            return Err(FormatError::Malformed.into());
        }
        if file.metadata()?.len() != found.size {
            return Err(FormatError::Truncated.into());
        }
        let mut table = vec![0; header.blocks() as usize * 4];
        let table_at = header.body_at() + header.body_len;
        tools.files.read_at(&file, &mut table, table_at)?;
        let sums = format::decode_table(&header, &table)?;
        let key = CacheKey::new(path);
        Ok((
            Self {
                file,
                header,
                sums,
                key,
                found,
                counted: AtomicBool::new(true),
                tools,
            },
            meta,
        ))
    }

    /// A file that this process has just written.
    pub(super) fn written(
        file: File,
        header: Header,
        sums: Vec<u32>,
        key: CacheKey,
        found: Found,
        tools: Arc<Tools>,
    ) -> Self {
        Self {
            file,
            header,
            sums,
            key,
            found,
            counted: AtomicBool::new(false),
            tools,
        }
    }

    /// Bytes of the body.
    pub fn length(&self) -> u64 {
        self.header.body_len
    }

    pub(super) fn key(&self) -> &str {
        self.key.as_str()
    }

    /// Place in the index.
    pub(super) fn found(&self) -> Found {
        self.found
    }

    /// Counts a use, so that a file kept open does not look unused. Opening it counted as one.
    pub fn touch(&self) {
        if !self.counted.swap(false, Ordering::Relaxed) {
            self.tools.index.touch(self.found);
        }
    }

    /// Bytes of memory that the open file takes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.sums.len() * 4 + self.key.as_str().len()
    }

    /// At most `count` bytes of the body from `offset`, verified, in memory of their own. Blocks.
    pub fn read(&self, offset: u64, count: usize) -> Result<Bytes, ReadError> {
        let part = self.layout().part(offset, count);
        let mut bytes = vec![0; part.bytes()];
        self.tools.files.read_at(&self.file, &mut bytes, part.at)?;
        part.verify(self.header.id, &bytes, |number| self.sum_of(number))?;
        Ok(Bytes::from(bytes).slice(part.wanted))
    }

    /// At most `count` bytes of the body from `offset`, verified, in a buffer on loan: at most
    /// [`CHUNK`] bytes of whole blocks. Does not block. `end` is where the reader will stop, for reading
    /// ahead.
    pub fn read_now(self: &Arc<Self>, offset: u64, count: usize, end: u64) -> Read {
        let part = self.layout().part(offset, count.min(CHUNK)).within(CHUNK);
        let mut buffer = self.tools.buffers.lend();
        let mut have = 0;
        while have < part.bytes() {
            let Some(rest) = buffer.bytes_mut().get_mut(have..part.bytes()) else {
                break;
            };
            let at = part.at + have as u64;
            match self.tools.files.read_cached(&self.file, rest, at) {
                Ok(0) => return Read::Done(Err(FormatError::Truncated.into())),
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tools.waited_reads.inc();
                    let ahead = end.min(self.header.body_len).saturating_sub(offset);
                    return Read::Waits(Waiting {
                        object: self.clone(),
                        buffer,
                        have,
                        part,
                        ahead: ahead.min(READ_AHEAD),
                    });
                }
                Err(error) => return Read::Done(Err(error.into())),
            }
        }
        self.tools.cached_reads.inc();
        Read::Done(self.take(buffer, part))
    }

    fn take(&self, buffer: Buffer, part: Part) -> Result<Bytes, ReadError> {
        let bytes = buffer.bytes().get(..part.bytes()).unwrap_or_default();
        part.verify(self.header.id, bytes, |number| self.sum_of(number))?;
        Ok(buffer.freeze().slice(part.wanted))
    }

    fn sum_of(&self, number: u64) -> Option<u32> {
        self.sums.get(usize::try_from(number).ok()?).copied()
    }

    fn layout(&self) -> Layout {
        Layout {
            id: self.header.id,
            body_at: self.header.body_at(),
            body_len: self.header.body_len,
        }
    }
}

impl Waiting {
    /// Reads what is missing. Blocks.
    pub fn finish(mut self) -> Result<Bytes, ReadError> {
        let (object, part) = (self.object, self.part);
        files::read_ahead(&object.file, part.at, self.ahead);
        if let Some(rest) = self.buffer.bytes_mut().get_mut(self.have..part.bytes()) {
            let at = part.at + self.have as u64;
            object.tools.files.read_at(&object.file, rest, at)?;
        }
        object.take(self.buffer, part)
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

/// Whole blocks of a file, and what is wanted of them.
#[derive(Clone, Debug)]
struct Part {
    /// Number of the first block.
    first: u64,
    /// Where in the file it starts.
    at: u64,
    len: usize,
    wanted: Range<usize>,
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
        let part = self.part(offset, count);
        let mut bytes = vec![0; part.bytes()];
        file.read_exact_at(&mut bytes, part.at)?;
        part.verify(self.id, &bytes, sum_of)?;
        Ok(Bytes::from(bytes).slice(part.wanted))
    }

    fn part(self, offset: u64, count: usize) -> Part {
        let block = BLOCK as u64;
        let end = offset.saturating_add(count as u64).min(self.body_len);
        let offset = offset.min(end);
        let first = offset / block;
        let from = first * block;
        let until = if offset == end {
            from
        } else {
            (end.div_ceil(block) * block).min(self.body_len)
        };
        Part {
            first,
            at: self.body_at + from,
            len: (until - from) as usize,
            wanted: if offset == end {
                0..0
            } else {
                (offset - from) as usize..(end - from) as usize
            },
        }
    }
}

impl Part {
    fn bytes(&self) -> usize {
        self.len
    }

    /// No more than the first `most` bytes, which are whole blocks.
    fn within(mut self, most: usize) -> Self {
        self.len = self.len.min(most);
        self.wanted.end = self.wanted.end.min(self.len);
        self
    }

    fn verify(
        &self,
        id: u64,
        bytes: &[u8],
        sum_of: impl Fn(u64) -> Option<u32>,
    ) -> Result<(), FormatError> {
        let sound = (self.first..)
            .zip(bytes.chunks(BLOCK))
            .all(|(number, block)| sum_of(number) == Some(format::block_sum(id, number, block)));
        if bytes.len() == self.len && sound {
            Ok(())
        } else {
            Err(FormatError::Checksum)
        }
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
