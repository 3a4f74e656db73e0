//! The slices of one version of an object: found in a tier, on their way, or asked for.

use std::sync::Arc;

use http::HeaderValue;

use super::Cache;
use super::coalesce::Role;
use super::entry::{Entry, Meta};
use super::fill::{Fill, Head};
use super::filling::{Filling, Subject};
use super::key::CacheKey;
use super::slice::{self, Slicing};
use crate::origin::{OriginBody, OriginError, OriginObject};

/// One version of an object in slices.
pub(crate) struct Sliced {
    pub(crate) cache: Arc<Cache>,
    /// The object: its mount, and what an HTTP origin is asked with.
    pub(crate) subject: Subject,
    /// The key of its head.
    pub(crate) key: CacheKey,
    pub(crate) meta: Arc<Meta>,
    pub(crate) slicing: Slicing,
    version: HeaderValue,
    total: u64,
}

/// Where the bytes of a slice are.
#[derive(Clone)]
pub(crate) enum Slice {
    /// In a tier.
    Stored(Arc<Entry>),
    /// On their way.
    Arriving(Arc<Fill>),
    /// Nowhere but on this way, from its first byte: there is no room to keep them.
    Passing,
}

impl Sliced {
    /// `None` for what has no strong tag or no length: its versions cannot be told apart.
    pub(crate) fn new(
        cache: Arc<Cache>,
        subject: Subject,
        key: CacheKey,
        meta: Arc<Meta>,
    ) -> Option<Self> {
        let slicing = subject.mount.slicing?;
        let (version, total) = (meta.validators.strong_etag()?.clone(), meta.length?);
        Some(Self {
            cache,
            subject,
            key,
            meta,
            slicing,
            version,
            total,
        })
    }

    /// The key of a slice.
    pub(crate) fn key_of(&self, index: u64) -> CacheKey {
        slice::key_of(&self.key, &self.version, index)
    }

    /// The last slice that a reader of bytes up to `end` needs.
    pub(crate) fn last(&self, end: u64) -> u64 {
        self.slicing.index_of(end.saturating_sub(1))
    }

    /// A slice that can be read without asking anyone.
    pub(crate) fn in_memory(&self, index: u64) -> Option<Slice> {
        let entry = self.cache.memory.get(self.key_of(index).as_str())?;
        Some(Slice::Stored(entry))
    }

    /// A slice, from wherever it can be had. It returns when the first byte is known to come.
    pub(crate) async fn open(self: &Arc<Self>, index: u64) -> Result<Slice, Arc<OriginError>> {
        let key = self.key_of(index);
        if let Some(slice) = self.in_memory(index) {
            return Ok(slice);
        }
        if let Some(entry) = self.cache.open_from_disk(&key).await {
            self.cache.publish(&key, entry.clone());
            return Ok(Slice::Stored(entry));
        }
        let fill = self.fill(index, &key);
        match fill.head().await {
            Head::Object { .. } => Ok(Slice::Arriving(fill)),
            Head::Entry { entry, .. } => Ok(Slice::Stored(entry)),
            Head::Unshared => Ok(Slice::Passing),
            Head::Failed(error) => Err(error),
        }
    }

    /// Begins to fetch a slice unless it is there, or on its way.
    pub(crate) fn fetch_ahead(self: &Arc<Self>, index: u64) {
        let key = self.key_of(index);
        let on_disk = self
            .cache
            .disk
            .as_ref()
            .is_some_and(|disk| disk.contains(key.as_str()));
        if !on_disk && self.cache.memory.get(key.as_str()).is_none() {
            self.fill(index, &key);
        }
    }

    /// Takes a slice whose bytes have begun to come already.
    pub(crate) fn take(self: &Arc<Self>, index: u64, object: OriginObject) {
        let key = self.key_of(index);
        let (fill, role) = self.cache.fills.join_or_lead(key.as_str());
        if role == Role::Leader {
            let filling = self.filling(&key, fill);
            let sliced = self.clone();
            tokio::spawn(async move { filling.slice(&sliced, index, Some(object)).await });
        }
    }

    /// What is left of a slice from `offset` on, from the origin, for one reader.
    pub(crate) async fn rest(&self, offset: u64) -> Result<OriginBody, OriginError> {
        let index = self.slicing.index_of(offset);
        let range = offset..self.slicing.range_of(index, self.total).end;
        let subject = &self.subject;
        subject
            .mount
            .rest_of(&self.key, &subject.asked, &self.meta, range)
            .await
    }

    fn fill(self: &Arc<Self>, index: u64, key: &CacheKey) -> Arc<Fill> {
        let (fill, role) = self.cache.fills.join_or_lead(key.as_str());
        if role == Role::Leader {
            let (filling, sliced) = (self.filling(key, fill.clone()), self.clone());
            tokio::spawn(async move { filling.slice(&sliced, index, None).await });
        }
        fill
    }

    fn filling(&self, key: &CacheKey, fill: Arc<Fill>) -> Filling {
        Filling::begin(self.cache.clone(), self.subject.clone(), key.clone(), fill)
    }
}
