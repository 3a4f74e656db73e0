//! From an object and a request to a response: preconditions, ranges, headers, body.

pub mod conditional;
pub mod range;

pub mod coding;
pub mod content_type;
pub mod cors;
pub mod digest;
pub mod disposition;

pub mod body;
pub(crate) mod pieces;
mod slices;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, HeaderName, LAST_MODIFIED,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use self::body::AssetBody;
use self::conditional::Verdict;
use self::pieces::{DiskSource, FillSource, Multipart, Resume, Resuming};
use self::range::Selection;
use self::slices::SliceReader;
use crate::cache::Cache;
use crate::cache::entry::{Content, Meta};
use crate::cache::fill::Fill;
use crate::cache::key::CacheKey;
use crate::cache::part::{self, ContentRange};
use crate::cache::sliced::{Slice, Sliced};
use crate::cache::status::{CacheStatus, Staleness};
use crate::mount::Mount;

/// `Cache-Status`, RFC 9211.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Where the bytes of a response come from.
#[derive(Clone)]
pub(crate) enum Bytestream {
    Complete(Content),
    Arriving(Arc<Fill>),
    /// A coded form, while it is made: nobody knows how long it will be.
    Coding(Arc<Fill>),
    /// Slices, and the one with the first byte of the response, which is at hand.
    Sliced(Arc<Sliced>, Option<(u64, Slice)>),
}

/// Everything but the request.
pub(crate) struct Answer<'a> {
    pub(crate) cache: &'a Arc<Cache>,
    pub(crate) cache_name: &'a str,
    pub(crate) mount: &'a Arc<Mount>,
    pub(crate) path: &'a str,
    pub(crate) meta: &'a Arc<Meta>,
    pub(crate) bytes: Bytestream,
    pub(crate) status: CacheStatus,
    pub(crate) stored: bool,
    pub(crate) now: SystemTime,
}

impl Answer<'_> {
    /// RFC 9110 section 13.2.2: preconditions first, then the range.
    pub(crate) fn respond(self, request: &Parts) -> Response<AssetBody> {
        // Section 13.2.1: preconditions are about a success, ranges about a whole representation.
        if self.meta.status == StatusCode::PARTIAL_CONTENT
            && let Some((bytes, content_range)) = part::cut(self.meta, &request.headers)
        {
            return self.cut(bytes, &content_range);
        }
        if self.meta.status != StatusCode::OK {
            return self.full(&request.method);
        }
        match select(self.meta, request) {
            Err(status) => self.without_body(status),
            Ok(Selection::Full) => self.full(&request.method),
            Ok(Selection::One(range)) => self.one(&range),
            Ok(Selection::Several(ranges)) => self.several(&ranges),
            Ok(Selection::Unsatisfiable) => self.unsatisfiable(),
        }
    }

    fn full(self, method: &Method) -> Response<AssetBody> {
        let mut response = self.response(self.meta.status);
        if method != Method::HEAD {
            *response.body_mut() = match self.meta.length {
                Some(length) => self.body(0..length),
                None => self.body_to_the_end(),
            };
        }
        response
    }

    fn one(self, range: &Range<u64>) -> Response<AssetBody> {
        let mut response = self.response(StatusCode::PARTIAL_CONTENT);
        let length = self.meta.length.unwrap_or(range.end);
        let headers = response.headers_mut();
        insert(headers, CONTENT_RANGE, content_range(range, length));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        *response.body_mut() = self.body(range.clone());
        response
    }

    /// A range of a stored part.
    fn cut(self, bytes: Range<u64>, whole: &ContentRange) -> Response<AssetBody> {
        let mut response = self.response(StatusCode::PARTIAL_CONTENT);
        let headers = response.headers_mut();
        insert(
            headers,
            CONTENT_RANGE,
            content_range(&whole.bytes, whole.total),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
        *response.body_mut() = self.body(bytes);
        response
    }

    /// Section 14.6. Each part repeats the type of the whole and says which bytes it is.
    fn several(self, ranges: &[Range<u64>]) -> Response<AssetBody> {
        let mut response = self.response(StatusCode::PARTIAL_CONTENT);
        let length = self.meta.length.unwrap_or(0);
        let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let parts: VecDeque<_> = ranges
            .iter()
            .map(|range| {
                let content_range = content_range(range, length);
                let head = format!(
                    "\r\n--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: {content_range}\r\n\r\n"
                );
                (Bytes::from(head), range.clone())
            })
            .collect();
        let trailer = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let total = parts
            .iter()
            .map(|(head, range)| head.len() as u64 + range.end - range.start)
            .sum::<u64>()
            + trailer.len() as u64;
        let headers = response.headers_mut();
        insert(
            headers,
            CONTENT_TYPE,
            format!("multipart/byteranges; boundary={boundary}"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(total));
        let (bytes, resume) = (self.bytes.clone(), Arc::new(self.resume()));
        let open = move |range| open(&bytes, &resume, range);
        *response.body_mut() =
            AssetBody::stream(Box::new(Multipart::new(parts, trailer, open)), Some(total));
        response
    }

    /// Section 15.5.17.
    fn unsatisfiable(self) -> Response<AssetBody> {
        let mut response = self.without_body(StatusCode::RANGE_NOT_SATISFIABLE);
        let length = self.meta_length();
        insert(
            response.headers_mut(),
            CONTENT_RANGE,
            format!("bytes */{length}"),
        );
        response
    }

    fn meta_length(&self) -> u64 {
        self.meta.length.unwrap_or(0)
    }

    /// Section 15.4.5: a 304 repeats what identifies and freshens, not what describes a body.
    fn without_body(&self, status: StatusCode) -> Response<AssetBody> {
        let mut response = self.response(status);
        let headers = response.headers_mut();
        for name in [
            CONTENT_LENGTH,
            CONTENT_TYPE,
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_DISPOSITION,
        ] {
            headers.remove(name);
        }
        if status == StatusCode::NOT_MODIFIED {
            if self.meta.validators.etag.is_some() {
                headers.remove(LAST_MODIFIED);
            }
        } else {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        response
    }

    fn response(&self, status: StatusCode) -> Response<AssetBody> {
        let mut response = Response::new(AssetBody::empty());
        *response.status_mut() = status;
        *response.headers_mut() = self.meta.headers.clone();
        let freshness = &self.meta.freshness;
        let age = freshness.age(self.now);
        let ttl = match freshness.lifetime.checked_sub(age) {
            Some(left) => (left, Staleness::Fresh),
            None => (age - freshness.lifetime, Staleness::Stale),
        };
        let stored = self.stored.then_some(self.meta.status);
        let headers = response.headers_mut();
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
        // RFC 9211 section 2: who handled it before us stays in the list, of a stored response too.
        let own = self.status.header(self.cache_name, Some(ttl), stored);
        headers.append(CACHE_STATUS, own);
        response
    }

    fn body(&self, range: Range<u64>) -> AssetBody {
        match &self.bytes {
            // The one case where nothing can go wrong on the way, so nothing is set up for it.
            Bytestream::Complete(Content::Memory(chunks)) => {
                self.cache
                    .metrics
                    .memory_bytes
                    .inc_by(range.end - range.start);
                AssetBody::chunks(chunks, range)
            }
            bytes => open(bytes, &Arc::new(self.resume()), range),
        }
    }

    /// A fill whose origin does not say how long the object is.
    fn body_to_the_end(&self) -> AssetBody {
        match &self.bytes {
            Bytestream::Complete(_) | Bytestream::Sliced(..) => AssetBody::empty(),
            Bytestream::Arriving(fill) | Bytestream::Coding(fill) => {
                let metrics = &self.cache.metrics;
                let sent = match &self.bytes {
                    Bytestream::Coding(_) => &metrics.coded_bytes,
                    _ => &metrics.origin_bytes,
                };
                let source = FillSource::new(fill.clone(), sent.clone());
                AssetBody::stream(
                    Box::new(Resuming::new(source, 0, None, Arc::new(self.resume()))),
                    None,
                )
            }
        }
    }

    /// All bytes, to be read and not sent.
    pub(crate) fn uncounted(&self, length: u64) -> AssetBody {
        let resume = Arc::new(self.resume());
        match &self.bytes {
            Bytestream::Complete(Content::Memory(chunks)) => AssetBody::chunks(chunks, 0..length),
            Bytestream::Arriving(fill) => {
                let source = FillSource::new(fill.clone(), self.cache.metrics.read_bytes.clone());
                let pieces = Resuming::new(source, 0, Some(length), resume);
                AssetBody::stream(Box::new(pieces), Some(length))
            }
            bytes => open(bytes, &resume, 0..length),
        }
    }

    fn resume(&self) -> Resume {
        Resume {
            cache: self.cache.clone(),
            mount: self.mount.clone(),
            key: CacheKey::new(self.path),
            asked: Arc::default(),
            meta: self.meta.clone(),
        }
    }
}

/// Which bytes of a stored 200 response a request gets, or the status of the answer without any.
fn select(meta: &Meta, request: &Parts) -> Result<Selection, StatusCode> {
    if request.headers.is_empty() {
        return Ok(Selection::Full);
    }
    match meta.validators.evaluate(&request.headers) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Err(StatusCode::NOT_MODIFIED),
        Verdict::Failed => return Err(StatusCode::PRECONDITION_FAILED),
    }
    // Section 14.2: ranges are defined for GET alone.
    let wants_range = request.method == Method::GET
        && request.headers.contains_key(http::header::RANGE)
        && meta.validators.allows_range(&request.headers);
    Ok(match meta.length {
        Some(length) if wants_range => range::select(&request.headers, length),
        _ => Selection::Full,
    })
}

/// The first byte of the object that a response to `request` has, if it has any.
pub(crate) fn first_byte(meta: &Meta, request: &Parts) -> Option<u64> {
    match select(meta, request).ok()? {
        Selection::Full if request.method == Method::GET => Some(0),
        Selection::One(range) => Some(range.start),
        Selection::Several(ranges) => ranges.first().map(|range| range.start),
        Selection::Full | Selection::Unsatisfiable => None,
    }
}

/// A body of one range.
fn open(bytes: &Bytestream, resume: &Arc<Resume>, range: Range<u64>) -> AssetBody {
    let metrics = &resume.cache.metrics;
    let count = range.end - range.start;
    match bytes {
        Bytestream::Complete(Content::Memory(chunks)) => {
            metrics.memory_bytes.inc_by(count);
            AssetBody::chunks(chunks, range)
        }
        Bytestream::Complete(Content::Disk(object)) => {
            let source = DiskSource::new(object.clone(), range.end, metrics.disk_bytes.clone());
            let pieces = Resuming::new(source, range.start, Some(range.end), resume.clone());
            AssetBody::stream(Box::new(pieces), Some(count))
        }
        Bytestream::Sliced(sliced, first) => {
            let pieces = SliceReader::new(sliced.clone(), range, first.clone());
            AssetBody::stream(Box::new(pieces), Some(count))
        }
        Bytestream::Arriving(fill) | Bytestream::Coding(fill) => {
            let source = FillSource::new(fill.clone(), metrics.origin_bytes.clone());
            let pieces = Resuming::new(source, range.start, Some(range.end), resume.clone());
            AssetBody::stream(Box::new(pieces), Some(count))
        }
    }
}

fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
