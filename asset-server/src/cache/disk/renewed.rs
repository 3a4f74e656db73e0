//! Metadata that a 304 renewed after its file was written. In memory only, and bounded: who is
//! forgotten costs one more revalidation, which is cheaper than rewriting heads of files safely.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::entry::Meta;

/// Files whose renewed metadata is kept: a kilobyte or two each.
const MOST: usize = 16 << 10;

/// Renewed metadata by file.
#[derive(Debug, Default)]
pub(super) struct Renewed(RwLock<BTreeMap<u64, Arc<Meta>>>);

impl Renewed {
    pub(super) fn get(&self, id: u64) -> Option<Arc<Meta>> {
        let renewed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        renewed.get(&id).cloned()
    }

    /// Remembers; the oldest file is forgotten for it where there are too many.
    pub(super) fn insert(&self, id: u64, meta: Arc<Meta>) {
        let mut renewed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        renewed.insert(id, meta);
        if renewed.len() > MOST {
            renewed.pop_first();
        }
    }

    pub(super) fn forget(&self, ids: impl Iterator<Item = u64>) {
        let none = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        if !none {
            let mut renewed = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for id in ids {
                renewed.remove(&id);
            }
        }
    }
}
