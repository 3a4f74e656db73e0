//! What is on disk, without touching the disk: key to file, bytes in use, and who goes next.
//!
//! Eviction is first in, first out with a second chance: a hit only sets a flag under a shared lock,
//! so reads never queue behind each other, and an object that was used since the hand last passed
//! stays. That is close to LRU in hit ratio without its lock on every read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::cache::entry::Meta;
use crate::cache::key::CacheKey;

/// One file.
#[derive(Debug)]
pub(super) struct Slot {
    /// Key of the object.
    pub(super) key: CacheKey,
    /// Id and name of the file.
    pub(super) id: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Metadata that a revalidation renewed after the file was written.
    pub(super) renewed: RwLock<Option<Arc<Meta>>>,
    used: AtomicBool,
    gone: AtomicBool,
}

impl Slot {
    /// A file that nobody has asked for yet.
    pub(super) fn new(key: CacheKey, id: u64, size: u64) -> Self {
        Self {
            key,
            id,
            size,
            renewed: RwLock::default(),
            used: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }
}

/// All files, and the bytes they and those being written take.
#[derive(Debug)]
pub(super) struct Index {
    slots: RwLock<HashMap<CacheKey, Arc<Slot>>>,
    room: Mutex<Room>,
    capacity: u64,
}

#[derive(Debug, Default)]
struct Room {
    /// Oldest first; those that are gone are skipped when their turn comes.
    queue: VecDeque<Arc<Slot>>,
    stored: u64,
    reserved: u64,
}

impl Index {
    /// An empty index over `capacity` bytes.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            slots: RwLock::default(),
            room: Mutex::default(),
            capacity,
        }
    }

    /// The file of a path; it gets its second chance.
    pub(super) fn get(&self, path: &str) -> Option<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(path)?;
        slot.used.store(true, Ordering::Relaxed);
        Some(slot.clone())
    }

    /// Sets `bytes` aside for a file about to be written. Returns the files that must be deleted for
    /// it, or `None` if there is no room however many go.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Vec<Arc<Slot>>> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if room.reserved.checked_add(bytes)? > self.capacity {
            return None;
        }
        room.reserved += bytes;
        Some(self.make_room(&mut room))
    }

    /// Gives back what was set aside.
    pub(super) fn release(&self, bytes: u64) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.reserved = room.reserved.saturating_sub(bytes);
    }

    /// Adds a file. Returns the files that must be deleted: the one it replaces, and what no longer
    /// fits.
    pub(super) fn insert(&self, slot: Slot) -> Vec<Arc<Slot>> {
        let slot = Arc::new(slot);
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            slots.insert(slot.key.clone(), slot.clone())
        };
        room.stored += slot.size;
        room.queue.push_back(slot);
        let mut victims: Vec<_> = replaced.into_iter().collect();
        for victim in &victims {
            victim.gone.store(true, Ordering::Relaxed);
            room.stored -= victim.size;
        }
        victims.extend(self.make_room(&mut room));
        victims
    }

    /// Takes a file out, if it is still this very one.
    pub(super) fn remove(&self, slot: &Slot) -> bool {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_out(&mut room, slot)
    }

    /// Takes out every file whose path starts with `prefix`.
    pub(super) fn remove_prefix(&self, prefix: &str) -> Vec<Arc<Slot>> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let matching: Vec<_> = {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            slots
                .values()
                .filter(|slot| slot.key.as_str().starts_with(prefix))
                .cloned()
                .collect()
        };
        matching
            .into_iter()
            .filter(|slot| self.take_out(&mut room, slot))
            .collect()
    }

    /// Files, and the bytes they take.
    pub(super) fn usage(&self) -> (u64, u64) {
        let stored = self
            .room
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stored;
        (
            self.slots
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .len() as u64,
            stored,
        )
    }

    fn make_room(&self, room: &mut Room) -> Vec<Arc<Slot>> {
        let mut victims = Vec::new();
        while room.stored + room.reserved > self.capacity {
            let Some(slot) = room.queue.pop_front() else {
                break;
            };
            if slot.gone.load(Ordering::Relaxed) {
                continue;
            }
            if slot.used.swap(false, Ordering::Relaxed) {
                room.queue.push_back(slot);
                continue;
            }
            if self.take_out(room, &slot) {
                victims.push(slot);
            }
        }
        victims
    }

    fn take_out(&self, room: &mut Room, slot: &Slot) -> bool {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(slot.key.as_str())
            .is_none_or(|current| current.id != slot.id)
        {
            return false;
        }
        slots.remove(slot.key.as_str());
        slot.gone.store(true, Ordering::Relaxed);
        room.stored -= slot.size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_with(files: &[(&str, u64)]) -> Index {
        let index = Index::new(100);
        for (i, (key, size)) in files.iter().enumerate() {
            assert!(
                index
                    .insert(Slot::new(CacheKey::new(key), i as u64, *size))
                    .is_empty()
            );
        }
        index
    }

    fn keys(slots: &[Arc<Slot>]) -> Vec<&str> {
        slots.iter().map(|slot| slot.key.as_str()).collect()
    }

    #[test]
    fn the_oldest_goes_first_unless_it_was_used() {
        let index = index_with(&[("/a", 40), ("/b", 40)]);
        assert!(index.get("/a").is_some());
        let victims = index.insert(Slot::new(CacheKey::new("/c"), 9, 40));
        assert_eq!(keys(&victims), ["/b"]);
        assert!(
            index.get("/a").is_some() && index.get("/b").is_none() && index.get("/c").is_some()
        );
        assert_eq!(index.usage(), (2, 80));
    }

    #[test]
    fn a_file_being_written_counts_from_its_first_byte() {
        let index = index_with(&[("/a", 40), ("/b", 40)]);
        assert_eq!(index.reserve(60).map(|v| v.len()), Some(1));
        assert!(
            index.reserve(41).is_none(),
            "the rest is being written already"
        );
        index.release(60);
        assert!(index.reserve(101).is_none());
        assert_eq!(index.usage(), (1, 40));
    }

    #[test]
    fn a_new_file_replaces_the_old_one_of_its_key() {
        let index = index_with(&[("/a", 40)]);
        let old = index.get("/a").expect("stored");
        let victims = index.insert(Slot::new(CacheKey::new("/a"), 7, 50));
        assert_eq!(victims.iter().map(|v| v.id).collect::<Vec<_>>(), [0]);
        assert!(!index.remove(&old), "the old one is gone already");
        assert_eq!(index.usage(), (1, 50));
    }

    #[test]
    fn a_prefix_takes_out_what_it_covers() {
        let index = index_with(&[("/a/1", 1), ("/a/2", 1), ("/b/1", 1)]);
        assert_eq!(index.remove_prefix("/a/").len(), 2);
        assert_eq!(index.usage(), (1, 1));
    }
}
