//! Who goes when there is no room: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you
//! need for cache eviction", SOSP 2023), counted in bytes.
//!
//! What is new waits in a small queue of a tenth of the room. Whoever was asked for at least twice there
//! moves to the main queue; the rest leaves, and only a trace of it stays (the ghost). Whoever comes
//! back while there is a trace goes straight to the main queue. So a scan of cold files passes through
//! the small queue and touches nothing else. A hit only counts up to three in an atomic, under a
//! shared lock.
//!
//! Pure: no clock, no disk, no randomness. Finding an entry by its key is up to the caller, who keeps
//! the [`Handle`].

mod arena;
mod ghost;
#[cfg(test)]
mod tests;

use self::arena::{Arena, List};
use self::ghost::Ghost;

pub use self::arena::Handle;

/// The small queue's share of the room is one in this many.
const SMALL_SHARE: u64 = 10;

/// Uses after which an entry of the small queue has earned the main one.
const PROMOTE_AT: u8 = 2;

/// A queue that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// On probation.
    Small,
    /// Asked for more than once.
    Main,
}

/// Entries in the order in which they leave, each with its bytes and a value of the caller's.
#[derive(Debug)]
pub struct S3Fifo<T> {
    arena: Arena<T>,
    small: List,
    main: List,
    ghost: Ghost,
    capacity: u64,
}

/// What [`S3Fifo::make_room`] did.
#[derive(Debug)]
pub struct Moved<T> {
    /// Entries that left: the hash they came with, and their values.
    pub evicted: Vec<(Handle, u32, T)>,
    /// Entries that moved to the main queue.
    pub promoted: Vec<Handle>,
}

impl<T> Default for Moved<T> {
    fn default() -> Self {
        Self {
            evicted: Vec::new(),
            promoted: Vec::new(),
        }
    }
}

impl<T> S3Fifo<T> {
    /// Room for `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self {
            arena: Arena::default(),
            small: List::default(),
            main: List::default(),
            ghost: Ghost::default(),
            capacity,
        }
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.small.len + self.main.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes entries leave until `wanted` bytes fit beside the others, but not more than `most` at
    /// once: whoever holds a lock can let go of it in between. Whether they fit now, or nobody is left.
    pub fn make_room(&mut self, wanted: u64, most: usize, moved: &mut Moved<T>) -> bool {
        let until = moved.evicted.len().saturating_add(most);
        while self.bytes().saturating_add(wanted) > self.capacity && !self.is_empty() {
            if moved.evicted.len() >= until {
                return false;
            }
            self.step(moved);
        }
        true
    }

    /// Adds an entry that was asked for just now. `hash` is what the ghost knows it by. `None` if it
    /// does not fit: [`S3Fifo::make_room`] comes first.
    pub fn insert(&mut self, hash: u32, size: u64, value: T) -> Option<Handle> {
        let span = self.len();
        let queue = if self.ghost.take(hash, span) {
            Queue::Main
        } else {
            Queue::Small
        };
        self.insert_into(queue, hash, size, value)
    }

    /// Adds an entry to the queue that it was in before a restart. `None` if it does not fit.
    pub fn insert_into(&mut self, queue: Queue, hash: u32, size: u64, value: T) -> Option<Handle> {
        if self.bytes().checked_add(size)? > self.capacity {
            return None;
        }
        let handle = self.arena.allocate(hash, size, value, queue)?;
        match queue {
            Queue::Small => self.arena.push(&mut self.small, handle),
            Queue::Main => self.arena.push(&mut self.main, handle),
        }
        Some(handle)
    }

    /// Counts a use. Needs no exclusive access, so readers do not queue behind each other.
    pub fn touch(&self, handle: Handle) {
        if let Some(node) = self.arena.node(handle) {
            node.touch();
        }
    }

    /// The value of an entry; `None` if the handle's entry has left.
    pub fn value(&self, handle: Handle) -> Option<&T> {
        self.arena.node(handle)?.value()
    }

    /// Bytes of an entry.
    pub fn size(&self, handle: Handle) -> Option<u64> {
        self.arena.node(handle).map(|node| node.size)
    }

    /// Hash of an entry.
    pub fn hash(&self, handle: Handle) -> Option<u32> {
        self.arena.node(handle).map(|node| node.hash)
    }

    /// Takes an entry out. It leaves no trace: it did not leave for lack of use.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        let node = self.arena.node(handle)?;
        node.value()?;
        match node.queue {
            Queue::Small => self.arena.unlink(&mut self.small, handle),
            Queue::Main => self.arena.unlink(&mut self.main, handle),
        }
        self.arena.release(handle)
    }

    /// Entries are held in pages. A caller who has to see all of them goes page by page.
    pub fn pages(&self) -> usize {
        self.arena.pages()
    }

    /// The entries of one page.
    pub fn page(&self, number: usize) -> impl Iterator<Item = (Handle, Queue, u64, &T)> {
        self.arena.page(number)
    }

    /// Looks at the entry whose turn it is. There is one.
    fn step(&mut self, moved: &mut Moved<T>) {
        let from_small = self.small.bytes > self.capacity / SMALL_SHARE || self.main.len == 0;
        if from_small {
            let Some(handle) = self.arena.pop(&mut self.small) else {
                return;
            };
            if self.arena.take_uses(handle) >= PROMOTE_AT {
                self.arena.requeue(handle, Queue::Main);
                self.arena.push(&mut self.main, handle);
                moved.promoted.push(handle);
            } else {
                if let Some(hash) = self.hash(handle) {
                    let room = self.len() + 1;
                    self.ghost.remember(hash, room);
                }
                self.leave(handle, moved);
            }
        } else if let Some(handle) = self.arena.pop(&mut self.main) {
            if self.arena.spend_use(handle) {
                self.arena.push(&mut self.main, handle);
            } else {
                self.leave(handle, moved);
            }
        }
    }

    fn leave(&mut self, handle: Handle, moved: &mut Moved<T>) {
        if let Some(hash) = self.hash(handle)
            && let Some(value) = self.arena.release(handle)
        {
            moved.evicted.push((handle, hash, value));
        }
    }
}
