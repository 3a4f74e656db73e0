//! One object on its way into the cache, and everyone who reads it meanwhile.
//!
//! A task appends what arrives; readers at any offset take what is there and are woken when there is
//! more. The bytes are shared, so a hundred readers cost no more memory than one. Of an object that
//! goes to disk only a window of the newest pieces is kept; who reads further behind reads the file.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::sync::Notify;

use super::disk::format::BLOCK;
use super::disk::{DiskWriter, Layout, ReadError};
use super::entry::{CHUNK, Entry, Meta};
use super::key::CacheKey;
use super::status::CacheStatus;
use super::surrogate::{self, Tag};
use crate::origin::{OriginError, OriginObject};

/// Pieces kept of an object that goes to disk: 4 MiB, so that readers in step never touch the file.
const WINDOW: usize = 16;

/// What a fill turned out to be; known once the head of the origin's answer is.
#[derive(Clone, Debug)]
pub enum Head {
    /// An object whose bytes are arriving.
    Object {
        /// The key that it is kept under.
        key: CacheKey,
        /// Its metadata.
        meta: Arc<Meta>,
        /// How the request that began the fill is answered.
        status: CacheStatus,
        /// Fields that are for the request that began the fill alone.
        withheld: Arc<HeaderMap>,
    },
    /// Nothing arrives: this complete entry is the answer.
    Entry {
        /// The key that it is kept under.
        key: CacheKey,
        /// The entry.
        entry: Arc<Entry>,
        /// How requests are answered with it.
        status: CacheStatus,
    },
    /// The answer is not for everyone. Each request asks the origin itself.
    Unshared,
    /// The origin failed.
    Failed(Arc<OriginError>),
}

/// An object being read into the cache.
#[derive(Debug, Default)]
pub struct Fill {
    state: Mutex<State>,
    progress: Arc<Notify>,
    discarded: AtomicBool,
    tags: Mutex<Tags>,
}

/// Surrogate keys, of the object and of purges.
#[derive(Debug, Default)]
struct Tags {
    /// What the object has; `None` while that is not known.
    known: Option<Vec<Tag>>,
    /// What was purged since the fill began.
    purged: Vec<Tag>,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The one answer that was not for everyone, for whoever takes it first.
    unshared: Option<OriginObject>,
    /// Complete pieces of [`CHUNK`] bytes, from offset `dropped` on.
    chunks: VecDeque<Bytes>,
    /// Pieces of the chunk that is not complete yet, as they arrived.
    tail: Vec<Bytes>,
    /// Bytes that are in the file only.
    dropped: u64,
    /// Bytes that have arrived.
    arrived: u64,
    end: End,
    file: Option<Arc<File>>,
    layout: Option<Layout>,
    sums: Vec<u32>,
}

/// How far a fill is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Growing,
    Complete,
    Broken(Break),
}

/// Why a fill ended before its object was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The origin failed: readers must not end as if all were well.
    Origin,
    /// The disk failed: readers can go on with the origin.
    Disk,
}

/// What a reader at some offset does next.
pub(crate) enum Step {
    /// Send these bytes.
    Bytes(Bytes),
    /// Read them from the file; this blocks.
    File(FileRead),
    /// There are no more.
    End,
    /// There will be no more, though there should.
    Broken(Break),
    /// There are none yet.
    Wait,
}

/// A read from the file of a fill.
pub(crate) struct FileRead {
    file: Arc<File>,
    layout: Layout,
    first_block: u64,
    sums: Vec<u32>,
    offset: u64,
}

impl FileRead {
    pub(crate) fn run(&self) -> Result<Bytes, ReadError> {
        let sum_of = |number: u64| {
            self.sums
                .get(usize::try_from(number.checked_sub(self.first_block)?).ok()?)
                .copied()
        };
        let count = CHUNK - (self.offset % CHUNK as u64) as usize;
        self.layout.read(&self.file, sum_of, self.offset, count)
    }
}

// === what readers use ===

impl Fill {
    /// Waits for the head.
    pub async fn head(&self) -> Head {
        loop {
            let progress = self.progress.notified();
            if let Some(head) = &self.state().head {
                return head.clone();
            }
            progress.await;
        }
    }

    /// Whether the head is known already.
    pub fn has_head(&self) -> bool {
        self.state().head.is_some()
    }

    /// Takes the answer that was not for everyone. Only the first who asks gets it.
    pub fn take_unshared(&self) -> Option<OriginObject> {
        self.state().unshared.take()
    }

    /// Woken whenever there is something new.
    pub(crate) fn progress(&self) -> Arc<Notify> {
        self.progress.clone()
    }

    /// What a reader at `offset` does next.
    pub(crate) fn step(&self, offset: u64) -> Step {
        let state = self.state();
        if offset < state.dropped {
            return state
                .read_from_file(offset)
                .map_or(Step::Broken(Break::Disk), Step::File);
        }
        if offset < state.arrived {
            let within = offset - state.dropped;
            let index = (within / CHUNK as u64) as usize;
            let mut skip = (within % CHUNK as u64) as usize;
            if let Some(chunk) = state.chunks.get(index) {
                return Step::Bytes(chunk.slice(skip..));
            }
            for piece in &state.tail {
                if skip < piece.len() {
                    return Step::Bytes(piece.slice(skip..));
                }
                skip -= piece.len();
            }
        }
        match state.end {
            End::Growing => Step::Wait,
            End::Complete => Step::End,
            End::Broken(why) => Step::Broken(why),
        }
    }

    /// Waits for the end, and gives all bytes. `None` if it breaks, or for what is too large to be kept in
    /// memory.
    pub(crate) async fn all_of(&self) -> Option<Vec<Bytes>> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        loop {
            let woken = self.progress.notified();
            match self.step(at) {
                Step::Bytes(bytes) => {
                    at += bytes.len() as u64;
                    pieces.push(bytes);
                }
                Step::End => return Some(pieces),
                Step::Wait => woken.await,
                Step::File(_) | Step::Broken(_) => return None,
            }
        }
    }

    /// A purge came: what is arriving may still be read by those who asked before, but not kept.
    pub fn discard(&self) {
        self.discarded.store(true, Ordering::Release);
    }

    /// A purge of a surrogate key came. Whether that discards the fill, as far as is known.
    pub(crate) fn purge_tag(&self, tag: Tag) -> bool {
        let mut tags = self.tags();
        tags.purged.push(tag);
        let covered = tags
            .known
            .as_ref()
            .is_some_and(|known| known.contains(&tag));
        if covered {
            self.discard();
        }
        covered
    }

    /// Notes the surrogate keys of what is about to be published. A purge of one of them that came since
    /// the fill began discards it.
    pub(crate) fn note_keys(&self, headers: &HeaderMap) {
        let found = surrogate::tags(headers);
        let mut tags = self.tags();
        if tags.purged.iter().any(|purged| found.contains(purged)) {
            self.discard();
        }
        tags.known.get_or_insert_default().extend(found);
    }

    /// Whether the surrogate keys are known, and this is none of them.
    pub(crate) fn is_known_without(&self, tag: &Tag) -> bool {
        let tags = self.tags();
        tags.known
            .as_ref()
            .is_some_and(|known| !known.contains(tag))
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a purge came.
    pub fn is_discarded(&self) -> bool {
        self.discarded.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read_from_file(&self, offset: u64) -> Option<FileRead> {
        let layout = self.layout?;
        let first = (offset / CHUNK as u64) * (CHUNK / BLOCK) as u64;
        let from = (first as usize).min(self.sums.len());
        let until = (from + CHUNK / BLOCK).min(self.sums.len());
        Some(FileRead {
            file: self.file.clone()?,
            layout,
            first_block: first,
            sums: self.sums[from..until].to_vec(),
            offset,
        })
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("arrived", &self.arrived)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

// === what the filling task uses ===

impl Fill {
    /// Says what the fill turned out to be.
    pub fn announce(&self, head: Head) {
        match &head {
            Head::Object { meta, .. } => self.note_keys(&meta.headers),
            Head::Entry { entry, .. } => self.note_keys(&entry.meta.headers),
            Head::Unshared | Head::Failed(_) => {}
        }
        self.state().head = Some(head);
        self.progress.notify_waiters();
    }

    /// Says that the answer is not for everyone, and keeps it for one.
    pub fn announce_unshared(&self, object: OriginObject) {
        self.state().unshared = Some(object);
        self.announce(Head::Unshared);
    }

    /// Ends the fill before its object is complete.
    pub fn end_broken(&self, why: Break) {
        self.end(End::Broken(why));
    }

    /// Ends what its task left open, which only a panic does.
    pub(crate) fn end_if_growing(&self) {
        let mut state = self.state();
        if state.head.is_none() {
            let error = OriginError::Malformed("the fill ended without an answer");
            state.head = Some(Head::Failed(Arc::new(error)));
        }
        if state.end == End::Growing {
            state.end = End::Broken(Break::Origin);
        }
        drop(state);
        self.progress.notify_waiters();
    }

    fn end(&self, end: End) {
        self.state().end = end;
        self.progress.notify_waiters();
    }
}

/// The one writer of a fill: cuts what arrives into pieces of [`CHUNK`] bytes.
pub(crate) struct Intake<'a> {
    fill: &'a Fill,
    tail: Vec<Bytes>,
    tail_len: usize,
    arrived: u64,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(fill: &'a Fill) -> Self {
        Self {
            fill,
            tail: Vec::new(),
            tail_len: 0,
            arrived: 0,
        }
    }

    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Appends, wakes the readers, and gives what is left over once a chunk is complete together with
    /// that chunk.
    pub(crate) fn push(&mut self, mut bytes: Bytes) -> Option<(Bytes, Bytes)> {
        let rest = bytes.split_off(bytes.len().min(CHUNK - self.tail_len));
        self.arrived += bytes.len() as u64;
        self.tail_len += bytes.len();
        self.tail.push(bytes.clone());
        let complete = (self.tail_len == CHUNK).then(|| self.join_tail());
        {
            let mut state = self.fill.state();
            state.arrived = self.arrived;
            match &complete {
                Some(chunk) => {
                    state.tail.clear();
                    state.chunks.push_back(chunk.clone());
                }
                None => state.tail.push(bytes),
            }
        }
        self.fill.progress.notify_waiters();
        complete.map(|chunk| (chunk, rest))
    }

    /// The last, incomplete chunk.
    pub(crate) fn last(&mut self) -> Option<Bytes> {
        let chunk = (self.tail_len > 0).then(|| self.join_tail())?;
        let mut state = self.fill.state();
        state.tail.clear();
        state.chunks.push_back(chunk.clone());
        Some(chunk)
    }

    /// Everything, in an object that is kept in memory.
    pub(crate) fn chunks(&self) -> Arc<[Bytes]> {
        self.fill.state().chunks.iter().cloned().collect()
    }

    /// Lets readers follow the file up to where it is written, and drops old chunks from memory.
    pub(crate) fn written(&self, writer: &DiskWriter) {
        let Some((file, layout, sums)) = writer.follow() else {
            return;
        };
        let mut state = self.fill.state();
        let known = state.sums.len();
        state
            .sums
            .extend_from_slice(sums.get(known..).unwrap_or_default());
        state.file = Some(file);
        let written = layout.body_len;
        state.layout = Some(layout);
        while state.chunks.len() > WINDOW && state.dropped + (CHUNK as u64) <= written {
            state.dropped += CHUNK as u64;
            state.chunks.pop_front();
        }
    }

    /// The object is complete.
    pub(crate) fn complete(&self) {
        self.fill.end(End::Complete);
    }

    /// Copies: the pieces are slices of larger network buffers, which must not stay alive for them.
    fn join_tail(&mut self) -> Bytes {
        let mut chunk = BytesMut::with_capacity(self.tail_len);
        for piece in self.tail.drain(..) {
            chunk.extend_from_slice(&piece);
        }
        self.tail_len = 0;
        chunk.freeze()
    }
}
