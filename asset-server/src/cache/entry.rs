//! What the cache holds about one object: its metadata, ready to be sent, and where its bytes are.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::disk::DiskObject;
use super::freshness::{Freshness, http_date};
use crate::respond::CACHE_STATUS;
use crate::respond::conditional::Validators;

/// Bytes of one piece of a body in memory. Large, so that the kernel is given few and long buffers;
/// 256 KiB is where a bigger piece stopped to matter.
pub const CHUNK: usize = 256 << 10;

/// Response headers of an origin that are the object's own and that we pass on. Everything else (hop
/// by hop, server names, request ids, store internals) stays behind.
const KEPT: [HeaderName; 10] = [
    CACHE_STATUS,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
];

/// Whether an entry is an object, or the knowledge that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is such an object.
    Object,
    /// The origin said 404.
    Absent,
}

/// Everything but the bytes.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Whether there is an object at all.
    pub presence: Presence,
    /// Bytes of the body; `None` while an origin that does not say is still sending.
    pub length: Option<u64>,
    /// What requests and the origin compare it by.
    pub validators: Validators,
    /// How long it may be used.
    pub freshness: Freshness,
    /// The head of a full response, but for `Age` and `Cache-Status`.
    pub headers: HeaderMap,
}

impl Meta {
    /// Metadata of an object, from the headers of an origin's 200 response.
    pub fn of_object(
        key: &str,
        origin: &HeaderMap,
        length: Option<u64>,
        freshness: Freshness,
    ) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        for name in &KEPT {
            for value in origin.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers
            .entry(CONTENT_TYPE)
            .or_insert_with(|| crate::respond::content_type::guess(key));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if !headers.contains_key(DATE) {
            // RFC 9110 section 6.6.1: who receives a response without a date and stores it adds one.
            let date = httpdate::fmt_http_date(freshness.received);
            if let Ok(date) = HeaderValue::try_from(date) {
                headers.insert(DATE, date);
            }
        }
        let validators = Validators {
            etag: headers.get(ETAG).cloned(),
            last_modified: http_date(headers.get(LAST_MODIFIED).map(|v| v.as_bytes())),
        };
        Self {
            presence: Presence::Object,
            length: None,
            validators,
            freshness,
            headers,
        }
        .with_length(length)
    }

    /// The knowledge that there is no such object.
    pub fn absent(freshness: Freshness) -> Self {
        Self {
            presence: Presence::Absent,
            length: Some(0),
            validators: Validators::default(),
            freshness,
            headers: HeaderMap::new(),
        }
    }

    /// The same metadata once the length is known.
    #[must_use]
    pub fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        match length {
            Some(length) => self
                .headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length)),
            None => self.headers.remove(CONTENT_LENGTH),
        };
        self
    }

    /// RFC 9111 section 4.3.4: what a 304 says replaces what is stored, and what it leaves out stays.
    /// Some stores send a 304 without any header.
    #[must_use]
    pub fn refreshed(&self, not_modified: &HeaderMap, freshness: Freshness) -> Self {
        let mut meta = Self {
            freshness,
            ..self.clone()
        };
        for name in KEPT
            .iter()
            .filter(|name| ![ETAG, LAST_MODIFIED, CONTENT_ENCODING].contains(name))
        {
            if let Some(value) = not_modified.get(name) {
                meta.headers.insert(name.clone(), value.clone());
            }
        }
        if !not_modified.contains_key(DATE)
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(freshness.received))
        {
            meta.headers.insert(DATE, date);
        }
        meta
    }

    /// The stored headers with those of a 304 laid over them: what freshness is computed from.
    pub fn merged_for_freshness(&self, not_modified: &HeaderMap) -> HeaderMap {
        let mut merged = self.headers.clone();
        merged.remove(DATE); // the 304 is as old as the 304, not as what it confirms
        merged.remove(AGE);
        for name in [CACHE_CONTROL, EXPIRES, DATE, AGE] {
            if let Some(value) = not_modified.get(&name) {
                merged.insert(name, value.clone());
            }
        }
        merged
    }

    /// Bytes of memory that the metadata takes, roughly.
    pub fn weight(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 96)
            .sum();
        size_of::<Self>() + headers
    }
}

/// Where the bytes of a complete object are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory, in pieces of [`CHUNK`] bytes but for the last.
    Memory(Arc<[Bytes]>),
    /// In a file of the disk tier.
    Disk(Arc<DiskObject>),
}

/// One complete object, or the knowledge that it is absent.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Everything but the bytes.
    pub meta: Arc<Meta>,
    /// The bytes.
    pub content: Content,
}

impl Entry {
    /// The knowledge that there is no such object, until `freshness` ends.
    pub fn absent(freshness: Freshness) -> Self {
        Self {
            meta: Arc::new(Meta::absent(freshness)),
            content: Content::Memory(Arc::from([])),
        }
    }

    /// Bytes of the body.
    pub fn length(&self) -> u64 {
        self.meta.length.unwrap_or(0)
    }

    /// The entry confirmed by a 304 at `freshness`.
    pub fn refreshed(&self, not_modified: &HeaderMap, freshness: Freshness) -> Self {
        let meta = Arc::new(self.meta.refreshed(not_modified, freshness));
        Self {
            meta,
            content: self.content.clone(),
        }
    }

    /// Whether it may stand in for an error at `now`.
    pub fn may_stand_in_for_error(&self, now: SystemTime) -> bool {
        self.meta.presence == Presence::Object && self.meta.freshness.may_stand_in_for_error(now)
    }

    /// Bytes of memory that it takes, bookkeeping included.
    pub fn weight(&self) -> usize {
        let content = match &self.content {
            Content::Memory(chunks) => chunks.iter().map(|chunk| chunk.len() + 64).sum(),
            Content::Disk(object) => object.weight(),
        };
        size_of::<Self>() + self.meta.weight() + content
    }
}
