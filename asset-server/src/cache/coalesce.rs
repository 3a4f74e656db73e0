//! Concurrent misses of one key share one fill.
//!
//! A fill can be joined until its entry is visible, and runs until the entry is on disk too. A purge has
//! to reach it for all of that time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::fill::Fill;
use super::key::CacheKey;
use super::surrogate::Tag;

/// The fills in flight. Asked on misses only, and held for one map operation, so one lock will do.
#[derive(Debug, Default)]
pub struct Coalesce(Mutex<Fills>);

#[derive(Debug, Default)]
struct Fills {
    joinable: HashMap<CacheKey, Arc<Fill>>,
    /// All that may still publish something, by address. Weak, since a fill's readers are counted.
    running: HashMap<usize, (CacheKey, Weak<Fill>)>,
}

/// What a request is to a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It begins the fill.
    Leader,
    /// Another request has begun it.
    Joiner,
}

impl Coalesce {
    /// The fill of a key; a new one if there is none.
    pub fn join_or_lead(&self, path: &str) -> (Arc<Fill>, Role) {
        let mut fills = self.fills();
        if let Some(fill) = fills.joinable.get(path) {
            return (fill.clone(), Role::Joiner);
        }
        let (fill, key) = (Arc::new(Fill::default()), CacheKey::new(path));
        fills
            .running
            .insert(address(&fill), (key.clone(), Arc::downgrade(&fill)));
        fills.joinable.insert(key, fill.clone());
        (fill, Role::Leader)
    }

    /// The fill of a key, if there is one.
    pub fn join(&self, path: &str) -> Option<Arc<Fill>> {
        self.fills().joinable.get(path).cloned()
    }

    /// Whether there is a fill of a key.
    pub fn contains(&self, path: &str) -> bool {
        self.fills().joinable.contains_key(path)
    }

    /// Nobody joins a fill any more. Its object must be visible in a tier by now, so that whoever comes
    /// next finds one or the other.
    pub fn end(&self, key: &CacheKey, fill: &Arc<Fill>) {
        let mut fills = self.fills();
        let current = fills.joinable.get(key);
        if current.is_some_and(|current| Arc::ptr_eq(current, fill)) {
            fills.joinable.remove(key);
        }
    }

    /// Forgets a fill that publishes nothing any more.
    pub fn finish(&self, key: &CacheKey, fill: &Arc<Fill>) {
        self.end(key, fill);
        self.fills().running.remove(&address(fill));
    }

    /// Discards the fills that a purge covers: nobody joins them any more, and they publish nothing.
    pub fn discard(&self, covers: impl Fn(&str) -> bool) -> u64 {
        let mut fills = self.fills();
        fills.joinable.retain(|key, _| !covers(key.as_str()));
        let running = fills.running.values();
        let covered = running.filter(|(key, _)| covers(key.as_str()));
        let covered = covered.filter_map(|(_, fill)| fill.upgrade());
        covered.map(|fill| fill.discard()).count() as u64
    }

    /// The same for a purge of a surrogate key. A fill whose keys are not known yet may go on, but nobody
    /// joins it: it is discarded as soon as it turns out to have this one.
    pub fn discard_tagged(&self, tag: Tag) -> u64 {
        let mut fills = self.fills();
        fills.joinable.retain(|_, fill| fill.is_known_without(&tag));
        let running = fills.running.values();
        let running = running.filter_map(|(_, fill)| fill.upgrade());
        running.filter(|fill| fill.purge_tag(tag)).count() as u64
    }

    fn fills(&self) -> MutexGuard<'_, Fills> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No two fills that are alive have the same.
fn address(fill: &Arc<Fill>) -> usize {
    Arc::as_ptr(fill).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_is_not_joined_any_more_is_still_discarded_until_it_is_finished() {
        let (fills, key) = (Coalesce::default(), CacheKey::new("/a/x"));
        let (fill, _) = fills.join_or_lead("/a/x");
        fills.end(&key, &fill);
        assert_eq!(fills.discard(|path| path.starts_with("/b/")), 0);
        assert_eq!(fills.discard(|path| path.starts_with("/a/")), 1);
        assert!(fill.is_discarded());
        let (second, role) = fills.join_or_lead("/a/x");
        assert_eq!(role, Role::Leader);
        fills.finish(&key, &second);
        assert_eq!(fills.discard(|_| true), 1, "the first still runs");
        fills.finish(&key, &fill);
        assert_eq!(fills.discard(|_| true), 0);
    }
}
