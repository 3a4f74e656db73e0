//! Concurrent misses of one key share one fill.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fill::Fill;
use super::key::CacheKey;

/// The fills in flight. Asked on misses only, and held for one map operation, so one lock will do.
#[derive(Debug, Default)]
pub struct Coalesce(Mutex<HashMap<CacheKey, Arc<Fill>>>);

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
        if let Some(fill) = fills.get(path) {
            return (fill.clone(), Role::Joiner);
        }
        let fill = Arc::new(Fill::default());
        fills.insert(CacheKey::new(path), fill.clone());
        (fill, Role::Leader)
    }

    /// The fill of a key, if there is one.
    pub fn join(&self, path: &str) -> Option<Arc<Fill>> {
        self.fills().get(path).cloned()
    }

    /// Whether there is a fill of a key.
    pub fn contains(&self, path: &str) -> bool {
        self.fills().contains_key(path)
    }

    /// Forgets a fill that has ended. Its object must be visible in a tier by now, so that whoever
    /// comes next finds one or the other.
    pub fn end(&self, key: &CacheKey, fill: &Arc<Fill>) {
        let mut fills = self.fills();
        if fills
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, fill))
        {
            fills.remove(key);
        }
    }

    /// Discards the fills that a purge covers: nobody joins them any more, and they publish nothing.
    pub fn discard(&self, covers: impl Fn(&str) -> bool) -> u64 {
        let mut fills = self.fills();
        let before = fills.len();
        fills.retain(|key, fill| {
            let covered = covers(key.as_str());
            if covered {
                fill.discard();
            }
            !covered
        });
        (before - fills.len()) as u64
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<CacheKey, Arc<Fill>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
