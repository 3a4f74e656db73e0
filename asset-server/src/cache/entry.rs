//! What the cache holds about one object: its metadata, ready to be sent, and where its bytes are.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::disk::DiskObject;
use super::freshness::{Freshness, http_date};
use super::stored_headers;
use super::vary::VarySet;
use crate::respond::conditional::Validators;
use crate::respond::digest::Sha256;

/// Bytes of one piece of a body in memory. Large, so that the kernel is given few and long buffers;
/// 256 KiB is where a bigger piece stopped to matter.
pub const CHUNK: usize = 256 << 10;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A response with its bytes.
    Object,
    /// The knowledge that there is no such object.
    Absent,
    /// An object whose bytes are kept in slices, each under a key of its own.
    Sliced,
    /// The sets of request headers that the responses of this key vary by; each has an entry of its own.
    Variants,
}

/// Everything but the bytes.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Whether there is an object at all.
    pub presence: Presence,
    /// Status of the response.
    pub status: StatusCode,
    /// Bytes of the body; `None` while an origin that does not say is still sending.
    pub length: Option<u64>,
    /// What requests and the origin compare it by.
    pub validators: Validators,
    /// How long it may be used.
    pub freshness: Freshness,
    /// What the key's responses vary by, newest first; empty unless it is [`Presence::Variants`].
    pub variants: Arc<[VarySet]>,
    /// The head of a full response, but for `Age` and `Cache-Status`.
    pub headers: HeaderMap,
    /// Digest of the bytes, once somebody has asked for it.
    pub sha_256: OnceLock<Sha256>,
}

impl Meta {
    /// Metadata of an object, from an origin's response. `withheld` are fields that must not be kept;
    /// `guess_type` stands for an origin that has objects, not responses, and does not know their types.
    pub fn of_response(
        status: StatusCode,
        origin: &HeaderMap,
        withheld: &[HeaderName],
        guess_type: Option<&str>,
        length: Option<u64>,
        freshness: Freshness,
    ) -> Self {
        let mut headers = stored_headers::storable(origin, withheld);
        if let Some(key) = guess_type {
            headers
                .entry(CONTENT_TYPE)
                .or_insert_with(|| crate::respond::content_type::guess(key));
        }
        if status == StatusCode::OK {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        set_date_if_missing(&mut headers, freshness.received);
        Self::of_headers(Presence::Object, status, headers, freshness).with_length(length)
    }

    /// Metadata whose headers are final already.
    pub(crate) fn of_headers(
        presence: Presence,
        status: StatusCode,
        headers: HeaderMap,
        freshness: Freshness,
    ) -> Self {
        let validators = Validators {
            etag: headers.get(ETAG).cloned(),
            last_modified: http_date(headers.get(LAST_MODIFIED).map(|v| v.as_bytes())),
            date: http_date(headers.get(DATE).map(|v| v.as_bytes())),
        };
        Self {
            presence,
            status,
            length: None,
            validators,
            freshness,
            variants: Arc::from([]),
            headers,
            sha_256: OnceLock::new(),
        }
    }

    /// The knowledge that there is no such object.
    pub fn absent(freshness: Freshness) -> Self {
        let status = StatusCode::NOT_FOUND;
        let meta = Self::of_headers(Presence::Absent, status, HeaderMap::new(), freshness);
        Self {
            length: Some(0),
            ..meta
        }
    }

    /// The same response as the head of an object of `total` bytes that is kept in slices.
    #[must_use]
    pub fn sliced(self, total: u64) -> Self {
        Self {
            presence: Presence::Sliced,
            ..self.with_length(Some(total))
        }
    }

    /// The knowledge of what a key's responses vary by. It does not age: the variants do.
    pub fn varying(variants: Arc<[VarySet]>, now: SystemTime) -> Self {
        let freshness = Freshness::for_span(std::time::Duration::MAX / 4, now);
        let meta = Self::of_headers(
            Presence::Variants,
            StatusCode::OK,
            HeaderMap::new(),
            freshness,
        );
        Self {
            length: Some(0),
            variants,
            ..meta
        }
    }

    /// The same metadata once the length is known.
    #[must_use]
    pub fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        match length {
            // RFC 9110 section 8.6: a 204 has no content to give the length of.
            Some(length) if self.status != StatusCode::NO_CONTENT => self
                .headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length)),
            _ => self.headers.remove(CONTENT_LENGTH),
        };
        self
    }

    /// RFC 9111 sections 3.2 and 4.3.4: what a 304 says replaces what is stored, and what it leaves out
    /// stays. Some stores send a 304 without any header.
    #[must_use]
    pub fn refreshed(
        &self,
        newer: &HeaderMap,
        withheld: &[HeaderName],
        freshness: Freshness,
    ) -> Self {
        let mut headers = self.headers.clone();
        headers.remove(DATE); // a new one is in the response, or is now
        stored_headers::update(&mut headers, newer, withheld);
        set_date_if_missing(&mut headers, freshness.received);
        let meta = Self::of_headers(self.presence, self.status, headers, freshness);
        Self {
            variants: self.variants.clone(),
            sha_256: self.sha_256.clone(), // of the same bytes
            ..meta
        }
        .with_length(self.length)
    }

    /// The stored headers with those of a 304 laid over them: what freshness is computed from.
    pub fn merged_for_freshness(&self, newer: &HeaderMap) -> HeaderMap {
        let mut merged = self.headers.clone();
        merged.remove(DATE); // the 304 is as old as the 304, not as what it confirms
        merged.remove(AGE);
        stored_headers::update(&mut merged, newer, &[]);
        for name in [CACHE_CONTROL, EXPIRES, DATE, AGE] {
            if newer.contains_key(&name) {
                merged.remove(&name);
                for value in newer.get_all(&name) {
                    merged.append(name.clone(), value.clone());
                }
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
        Self::without_bytes(Arc::new(Meta::absent(freshness)))
    }

    /// Bytes of the body.
    pub fn length(&self) -> u64 {
        self.meta.length.unwrap_or(0)
    }

    /// An entry without bytes of its own.
    pub fn without_bytes(meta: Arc<Meta>) -> Self {
        Self {
            meta,
            content: Content::Memory(Arc::from([])),
        }
    }

    /// What a key's responses vary by.
    pub fn varying(variants: Arc<[VarySet]>, now: SystemTime) -> Self {
        Self::without_bytes(Arc::new(Meta::varying(variants, now)))
    }

    /// The entry confirmed by a 304, or by an answer to HEAD, at `freshness`.
    #[must_use]
    pub fn refreshed(
        &self,
        newer: &HeaderMap,
        withheld: &[HeaderName],
        freshness: Freshness,
    ) -> Self {
        let meta = Arc::new(self.meta.refreshed(newer, withheld, freshness));
        Self {
            meta,
            content: self.content.clone(),
        }
    }

    /// Whether it may stand in for an error at `now`.
    pub fn may_stand_in_for_error(&self, now: SystemTime) -> bool {
        let has_bytes = matches!(self.meta.presence, Presence::Object | Presence::Sliced);
        has_bytes && self.meta.freshness.may_stand_in_for_error(now)
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

/// RFC 9110 section 6.6.1: who receives a response without a date and stores it adds one.
fn set_date_if_missing(headers: &mut HeaderMap, received: SystemTime) {
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(received))
    {
        headers.insert(DATE, date);
    }
}
