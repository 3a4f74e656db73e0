//! What is stored for a request: the key's own entry, or the variant of it that suits.

use std::sync::Arc;

use http::HeaderMap;

use super::Cache;
use super::entry::{Entry, Presence};
use super::key::CacheKey;
use super::vary::variant_key;

/// What was found, and under which key.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) key: CacheKey,
    pub(crate) entry: Arc<Entry>,
}

/// What memory has for a request.
pub(crate) enum InMemory {
    /// An entry under the key itself: nothing varies.
    Plain(Arc<Entry>),
    /// The variant that suits.
    Variant(Found),
    /// The key is known to vary; this is the key of the variant that would suit.
    NoVariant(CacheKey),
    /// Nothing.
    Nothing,
}

impl Cache {
    /// Looks into memory alone. Allocates nothing unless the key varies.
    pub(crate) fn in_memory(&self, key: &str, request: &HeaderMap) -> InMemory {
        let Some(entry) = self.memory.get(key) else {
            return InMemory::Nothing;
        };
        if entry.meta.presence != Presence::Variants {
            return InMemory::Plain(entry);
        }
        let keys = entry
            .meta
            .variants
            .iter()
            .map(|set| variant_key(key, set, request));
        let keys: Vec<String> = keys.collect();
        let found = keys
            .iter()
            .filter_map(|key| Some((key, self.memory.get(key)?)));
        // Section 4.1: of several that suit, the most recent one.
        match found.max_by_key(|(_, entry)| entry.meta.freshness.received) {
            Some((key, entry)) => InMemory::Variant(Found {
                key: CacheKey::new(key),
                entry,
            }),
            None => InMemory::NoVariant(CacheKey::new(keys.first().map_or(key, String::as_str))),
        }
    }

    /// Looks into both tiers. `base` is the key without its variant part.
    pub(crate) async fn find(&self, base: &CacheKey, request: &HeaderMap) -> Option<Found> {
        let entry = self.entry(base).await?;
        if entry.meta.presence != Presence::Variants {
            let key = base.clone();
            return Some(Found { key, entry });
        }
        if self.memory.get(base.as_str()).is_none() {
            self.memory.insert(base.clone(), entry.clone());
        }
        let mut newest: Option<Found> = None;
        for set in entry.meta.variants.iter() {
            let key = CacheKey::new(&variant_key(base.as_str(), set, request));
            if let Some(entry) = self.entry(&key).await {
                let received = |entry: &Entry| entry.meta.freshness.received;
                if newest
                    .as_ref()
                    .is_none_or(|best| received(&best.entry) < received(&entry))
                {
                    newest = Some(Found { key, entry });
                }
            }
        }
        newest
    }

    async fn entry(&self, key: &CacheKey) -> Option<Arc<Entry>> {
        match self.memory.get(key.as_str()) {
            Some(entry) => Some(entry),
            None => self.open_from_disk(key).await,
        }
    }
}
