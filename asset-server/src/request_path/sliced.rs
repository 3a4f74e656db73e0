//! Answers out of slices: the slice with the first byte is at hand before the response begins, so that a
//! version that is gone is noticed while the status can still be another.

use std::sync::Arc;
use std::time::SystemTime;

use http::Response;
use http::request::Parts;

use super::Miss;
use crate::cache::entry::Entry;
use crate::cache::filling::Subject;
use crate::cache::key::CacheKey;
use crate::cache::sliced::Sliced;
use crate::cache::status::CacheStatus;
use crate::error::Error;
use crate::origin::OriginError;
use crate::respond::body::AssetBody;
use crate::respond::{Bytestream, first_byte};
use crate::server::Inner;

impl Inner {
    /// The answer, if it needs no slice or its first slice is in memory.
    pub(super) fn sliced_in_memory(
        &self,
        request: &Parts,
        subject: &Subject,
        miss: &Miss,
        entry: &Entry,
        status: CacheStatus,
        now: SystemTime,
    ) -> Option<Response<AssetBody>> {
        let sliced = self.slices(subject, &miss.key, entry)?;
        let first = match first_byte(&entry.meta, request) {
            None => None,
            Some(offset) => {
                let index = sliced.slicing.index_of(offset);
                Some((index, sliced.in_memory(index)?))
            }
        };
        let bytes = Bytestream::Sliced(sliced, first);
        let key = miss.key.as_str();
        let answer = self.answer(&miss.mount, key, &entry.meta, bytes, status, now);
        Some(self.count(answer, request))
    }

    /// The answer, once its first byte is known to come.
    pub(super) async fn sliced(
        &self,
        request: &Parts,
        subject: &Subject,
        key: &CacheKey,
        entry: &Entry,
        status: CacheStatus,
    ) -> Result<Response<AssetBody>, Error> {
        let unversioned = || Error::Origin(Arc::new(OriginError::Changed));
        let sliced = self.slices(subject, key, entry).ok_or_else(unversioned)?;
        let now = SystemTime::now();
        let first = match first_byte(&entry.meta, request) {
            None => None,
            Some(offset) => {
                let index = sliced.slicing.index_of(offset);
                Some((index, sliced.open(index).await.map_err(Error::Origin)?))
            }
        };
        let bytes = Bytestream::Sliced(sliced, first);
        let mount = &subject.mount;
        let answer = self.answer(mount, key.as_str(), &entry.meta, bytes, status, now);
        Ok(self.count(answer, request))
    }

    fn slices(&self, subject: &Subject, key: &CacheKey, entry: &Entry) -> Option<Arc<Sliced>> {
        let (cache, key) = (self.cache.clone(), key.clone());
        Sliced::new(cache, subject.clone(), key, entry.meta.clone()).map(Arc::new)
    }
}
