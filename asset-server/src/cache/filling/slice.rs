//! Fetches objects of a store slice by slice.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode};

use super::Filling;
use crate::cache::entry::{Entry, Meta, Presence};
use crate::cache::freshness::Freshness;
use crate::cache::part::ContentRange;
use crate::cache::sliced::Sliced;
use crate::cache::status::CacheStatus;
use crate::cache::storability::withheld_fields;
use crate::cache::surrogate;
use crate::origin::{OriginError, OriginObject, Want};

/// What the first answer about an object says of its size.
pub(super) enum Sized {
    /// It is complete: the object is not larger than a slice, or the origin sends it whole.
    Whole(OriginObject),
    /// It is the slice of this number, of an object of so many bytes.
    Slice(OriginObject, u64, u64),
    /// It is the slice of a larger object whose versions cannot be told apart.
    Unversioned,
}

impl Filling {
    /// What to ask for: the slice in which the request begins, where objects are sliced.
    pub(super) fn first_want(&self) -> Want {
        match self.subject.mount.slicing {
            Some(slicing) => {
                let start = slicing.index_of(self.subject.offset) * slicing.size;
                Want::Range(start..start.saturating_add(slicing.size))
            }
            None => Want::Body,
        }
    }

    /// Tells a small object, which has come whole, from the slice of a large one.
    pub(super) fn size(&self, mut object: OriginObject) -> Sized {
        let Some(slicing) = self.subject.mount.slicing else {
            return Sized::Whole(object);
        };
        if object.status != StatusCode::PARTIAL_CONTENT {
            return Sized::Whole(object);
        }
        let Some(part) = ContentRange::of(&object.headers) else {
            return Sized::Unversioned;
        };
        if part.bytes == (0..part.total) {
            object.status = StatusCode::OK;
            object.headers.remove(CONTENT_RANGE);
            return Sized::Whole(object);
        }
        let index = slicing.index_of(part.bytes.start);
        let etag = object.headers.get(http::header::ETAG);
        let is_versioned = etag.is_some_and(|etag| etag.as_bytes().starts_with(b"\""));
        match is_versioned && part.bytes == slicing.range_of(index, part.total) {
            true => Sized::Slice(object, index, part.total),
            false => Sized::Unversioned,
        }
    }

    /// The head of a large object becomes its entry; the slice that has come with it goes on as any other.
    pub(super) async fn receive_slice(
        &mut self,
        mut object: OriginObject,
        (index, total): (u64, u64),
        freshness: Freshness,
        status: CacheStatus,
    ) {
        object.headers.remove(CONTENT_RANGE);
        let mount = &self.subject.mount;
        let withheld = withheld_fields(&object.headers, &mount.policy);
        let guess_type = (!mount.is_http).then(|| self.key.path());
        let (ok, headers) = (StatusCode::OK, &object.headers);
        let meta = Meta::of_response(ok, headers, &withheld, guess_type, None, freshness);
        let entry = Arc::new(Entry::without_bytes(Arc::new(meta.sliced(total))));
        let (cache, subject) = (self.cache.clone(), self.subject.clone());
        let Some(sliced) = Sliced::new(cache, subject, self.key.clone(), entry.meta.clone()) else {
            return self.fail(OriginError::Malformed("a slice without a version"));
        };
        Arc::new(sliced).take(index, object);
        self.answer_with(entry.clone(), status);
        self.keep_head(&entry).await;
    }

    async fn keep_head(&self, entry: &Entry) {
        if let Some(writer) = self.begin_file(&self.key, &entry.meta).await {
            let written = tokio::task::spawn_blocking(move || writer.publish()).await;
            if let Ok(written) = written {
                self.note_write(written.map(|_| ()));
            }
            if self.fill.is_discarded() {
                self.cache.remove(&self.key).await;
            }
        }
    }

    /// Runs for one slice: asks for it, unless `begun` is its answer already, and keeps it.
    pub(crate) async fn slice(self, sliced: &Sliced, index: u64, begun: Option<OriginObject>) {
        let total = sliced.meta.length.unwrap_or(0);
        let range = sliced.slicing.range_of(index, total);
        let length = range.end - range.start;
        let body = match begun {
            Some(object) => object.body,
            None => match sliced.rest(range.start).await {
                Ok(body) => body,
                Err(error) => return self.fail(error),
            },
        };
        // A version never changes, so its slices never age.
        let freshness = Freshness::for_span(Duration::MAX / 4, SystemTime::now());
        let (presence, ok) = (Presence::Object, StatusCode::OK);
        let tagged = surrogate::of_another(&sliced.meta.headers);
        let meta = Meta::of_headers(presence, ok, tagged, freshness);
        let object = OriginObject {
            status: ok,
            headers: HeaderMap::new(),
            length: Some(length),
            body,
        };
        let meta = meta.with_length(Some(length));
        self.receive_as(meta, object, CacheStatus::UriMiss, Arc::default())
            .await;
    }
}
