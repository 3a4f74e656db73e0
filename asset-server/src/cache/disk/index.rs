//! What is on disk, without touching the disk: key to file, bytes in use, and who goes next.
//!
//! A file takes an entry of the eviction queue, its key once, and four bytes in a hash table. The table
//! is split by hash, so that growing never moves more than a small part at once. Reads share a lock;
//! whoever needs it alone does a bounded portion of work and lets go of it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use super::eviction::{Handle, Moved, Queue, S3Fifo};
use super::journal::record::Record;
use crate::cache::surrogate::Tag;

/// Tables that share the entries; one for each value of a hash's first byte.
const TABLES: usize = 256;

/// Files that leave, at most, before the lock is given to others.
const PORTION: usize = 256;

/// One file, as it is remembered.
#[derive(Debug)]
pub(super) struct Known {
    /// Key of the object.
    pub(super) key: Box<str>,
    /// Id and name of the file.
    pub(super) id: u64,
}

/// One file, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: Handle,
    /// Id and name of the file.
    pub(super) id: u64,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// What a change of the index means for the disk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Files to delete, because there was no room for them.
    pub(super) evicted: Vec<Known>,
    /// Files to delete for another reason: a younger one has their key, or they are too large.
    pub(super) replaced: Vec<Known>,
    /// Files that moved to the main queue.
    pub(super) promoted: Vec<u64>,
}

/// All files, and the bytes they and those being written take.
#[derive(Debug)]
pub(super) struct Index {
    state: RwLock<State>,
    hasher: RandomState,
    capacity: u64,
}

#[derive(Debug)]
struct State {
    tables: Vec<HashTable<Handle>>,
    files: S3Fifo<Known>,
    /// Of the files that have any, their surrogate keys, by id.
    tagged: HashMap<u64, (Handle, Box<[Tag]>)>,
    reserved: u64,
}

impl Index {
    /// An empty index over `capacity` bytes.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            state: RwLock::new(State {
                tables: (0..TABLES).map(|_| HashTable::new()).collect(),
                files: S3Fifo::new(capacity),
                tagged: HashMap::new(),
                reserved: 0,
            }),
            hasher: RandomState::new(),
            capacity,
        }
    }

    /// The file of a path, which counts as a use.
    pub(super) fn get(&self, path: &str) -> Option<Found> {
        let hash = self.hash(path);
        let state = self.read();
        let place = state.find(hash, path)?;
        state.files.touch(place);
        state.found(place)
    }

    /// The file of a path, which does not count as a use.
    pub(super) fn peek(&self, path: &str) -> Option<Found> {
        let hash = self.hash(path);
        let state = self.read();
        state.found(state.find(hash, path)?)
    }

    /// Counts a use of a file that was found before, if it is still there.
    pub(super) fn touch(&self, found: Found) {
        let state = self.read();
        let file = state.files.value(found.place);
        if file.is_some_and(|file| file.id == found.id) {
            state.files.touch(found.place);
        }
    }

    /// Bytes that all files together may take.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Sets `bytes` aside for a file about to be written. `None` if there is no room however many go.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Changes> {
        let mut changes = Changes::default();
        let mut state = self.write();
        if state.reserved.checked_add(bytes)? > self.capacity {
            return None;
        }
        state.reserved += bytes;
        while !state.make_room(0, &mut changes) {
            drop(state);
            state = self.write();
        }
        Some(changes)
    }

    /// Gives back what was set aside.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.write();
        state.reserved = state.reserved.saturating_sub(bytes);
    }

    /// Adds a file in place of `reserved` bytes set aside for it, and tells where it is.
    pub(super) fn publish(
        &self,
        key: &str,
        id: u64,
        size: u64,
        reserved: u64,
    ) -> (Option<Found>, Changes) {
        let hash = self.hash(key);
        let mut changes = Changes::default();
        let mut state = self.write();
        state.reserved = state.reserved.saturating_sub(reserved);
        let known = Known {
            key: key.into(),
            id,
        };
        let old = state.find(hash, key);
        changes
            .replaced
            .extend(old.and_then(|old| state.take_out(old)));
        if size > self.capacity.saturating_sub(state.reserved) {
            // Rare: it is larger than what was set aside for it, and others have claimed the rest.
            changes.replaced.push(known);
            return (None, changes);
        }
        while !state.make_room(size, &mut changes) {}
        let place = state.files.insert(hash, size, known);
        if let Some(place) = place {
            state.enter(hash, place);
        }
        (place.and_then(|place| state.found(place)), changes)
    }

    /// Adds a file that was there before this process. Of two files of a key the younger stays; it
    /// comes later.
    pub(super) fn restore(&self, key: Box<str>, id: u64, size: u64, main: bool) -> Changes {
        let hash = self.hash(&key);
        let queue = if main { Queue::Main } else { Queue::Small };
        let mut changes = Changes::default();
        let mut state = self.write();
        let old = state.find(hash, &key);
        changes
            .replaced
            .extend(old.and_then(|old| state.take_out(old)));
        let known = Known { key, id };
        if size > self.capacity {
            changes.replaced.push(known);
            return changes;
        }
        while !state.make_room(size, &mut changes) {}
        if let Some(place) = state.files.insert_into(queue, hash, size, known) {
            state.enter(hash, place);
        }
        changes
    }

    /// Notes the surrogate keys of a file, if it is still there.
    pub(super) fn tag(&self, path: &str, id: u64, tags: &[Tag]) {
        let hash = self.hash(path);
        let mut state = self.write();
        if let Some(place) = state.find(hash, path)
            && state.files.value(place).is_some_and(|file| file.id == id)
        {
            state.tagged.insert(id, (place, tags.into()));
        }
    }

    /// Takes the file of a path out.
    pub(super) fn remove(&self, path: &str) -> Option<Known> {
        let hash = self.hash(path);
        let mut state = self.write();
        let place = state.find(hash, path)?;
        state.take_out(place)
    }

    /// Takes a file out, if it is still this very one.
    pub(super) fn remove_found(&self, found: Found) -> Option<Known> {
        let mut state = self.write();
        state
            .files
            .value(found.place)
            .filter(|file| file.id == found.id)?;
        state.take_out(found.place)
    }

    /// Takes out every file whose path starts with `prefix`, and gives them to `gone` in portions.
    /// Others have their turn in between, so what is published meanwhile may stay.
    pub(super) fn remove_prefix(&self, prefix: &str, mut gone: impl FnMut(Vec<Known>)) {
        let mut page = 0;
        loop {
            let matching: Vec<Found> = {
                let state = self.read();
                if page >= state.files.pages() {
                    return;
                }
                let files = state.files.page(page);
                let matching = files.filter(|(.., file)| file.key.starts_with(prefix));
                matching
                    .map(|(place, _, size, file)| Found {
                        place,
                        id: file.id,
                        size,
                    })
                    .collect()
            };
            let matching: Vec<_> = matching.iter().map(|f| (f.place, f.id)).collect();
            self.remove_all(&matching, &mut gone);
            page += 1;
        }
    }

    /// Takes out every file with a surrogate key, as [`Index::remove_prefix`] does.
    pub(super) fn remove_tagged(&self, tag: &Tag, mut gone: impl FnMut(Vec<Known>)) {
        let matching: Vec<_> = {
            let state = self.read();
            let tagged = state.tagged.iter();
            let matching = tagged.filter(|(_, (_, tags))| tags.contains(tag));
            matching.map(|(id, (place, _))| (*place, *id)).collect()
        };
        self.remove_all(&matching, &mut gone);
    }

    fn remove_all(&self, matching: &[(Handle, u64)], gone: &mut impl FnMut(Vec<Known>)) {
        for portion in matching.chunks(PORTION) {
            let mut state = self.write();
            let removed = portion.iter().filter_map(|(place, id)| {
                let file = state.files.value(*place);
                file.filter(|file| file.id == *id)?;
                state.take_out(*place)
            });
            let removed: Vec<_> = removed.collect();
            drop(state);
            gone(removed);
        }
    }

    /// The records that stand for one page of files. `None` after the last.
    pub(super) fn encode_page(&self, page: usize) -> Option<Vec<u8>> {
        let state = self.read();
        if page >= state.files.pages() {
            return None;
        }
        let mut bytes = Vec::with_capacity(128 << 10);
        for (_, queue, size, file) in state.files.page(page) {
            Record::Insert {
                id: file.id,
                size,
                main: queue == Queue::Main,
                tags: state.tags_of(file.id),
                key: &file.key,
            }
            .encode(&mut bytes);
        }
        Some(bytes)
    }

    /// Files, and the bytes they take.
    pub(super) fn usage(&self) -> (u64, u64) {
        let state = self.read();
        (state.files.len() as u64, state.files.bytes())
    }

    fn hash(&self, path: &str) -> u32 {
        (self.hasher.hash_one(path) >> 32) as u32
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, hash: u32, path: &str) -> Option<Handle> {
        let is_it = |place: &Handle| {
            let file = self.files.value(*place);
            file.is_some_and(|file| &*file.key == path)
        };
        self.tables
            .get(table_of(hash))?
            .find(spread(hash), is_it)
            .copied()
    }

    fn found(&self, place: Handle) -> Option<Found> {
        Some(Found {
            place,
            id: self.files.value(place)?.id,
            size: self.files.size(place)?,
        })
    }

    fn enter(&mut self, hash: u32, place: Handle) {
        let Self { tables, files, .. } = self;
        if let Some(table) = tables.get_mut(table_of(hash)) {
            table.insert_unique(spread(hash), place, |place| {
                spread(files.hash(*place).unwrap_or_default())
            });
        }
    }

    fn leave(&mut self, hash: u32, place: Handle) {
        if let Some(table) = self.tables.get_mut(table_of(hash))
            && let Ok(entry) = table.find_entry(spread(hash), |entered| *entered == place)
        {
            entry.remove();
        }
    }

    fn take_out(&mut self, place: Handle) -> Option<Known> {
        let hash = self.files.hash(place)?;
        self.leave(hash, place);
        let file = self.files.remove(place)?;
        self.tagged.remove(&file.id);
        Some(file)
    }

    fn tags_of(&self, id: u64) -> &[Tag] {
        self.tagged.get(&id).map_or(&[], |(_, tags)| tags)
    }

    /// Lets a portion of files go for `size` bytes beside what is set aside. Whether that is enough.
    fn make_room(&mut self, size: u64, changes: &mut Changes) -> bool {
        let mut moved = Moved::default();
        let wanted = self.reserved.saturating_add(size);
        let enough = self.files.make_room(wanted, PORTION, &mut moved);
        for place in moved.promoted {
            changes
                .promoted
                .extend(self.files.value(place).map(|file| file.id));
        }
        for (place, hash, file) in moved.evicted {
            self.leave(hash, place);
            self.tagged.remove(&file.id);
            changes.evicted.push(file);
        }
        enough
    }
}

/// First bits choose the table, the others the place in it.
fn table_of(hash: u32) -> usize {
    (hash >> 24) as usize
}

/// A hash table wants 64 bits, the first and the last of them varied (Fibonacci hashing, Knuth 6.4).
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
