//! Which form of an object goes out: the plain one, one coded on the fly, or a pre-compressed sibling.
//!
//! Freshness is decided before, on the plain object (or on the sibling, which is an object of its own). A
//! coded form only holds bytes: its key names the version that it was made from, so a form of another
//! version is never found, and it ages as its source does.

use std::sync::Arc;
use std::time::SystemTime;

use arrayvec::ArrayVec;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, RANGE};
use http::request::Parts;
use http::{Method, Response};

use super::{Miss, directives};
use crate::cache::coalesce::Role;
use crate::cache::directives::split_list;
use crate::cache::entry::{Content, Entry, Meta, Presence};
use crate::cache::fill::Fill;
use crate::cache::filling::{Filling, Subject};
use crate::cache::freshness::Lookup;
use crate::cache::key::{self, CacheKey};
use crate::cache::slice::fingerprint;
use crate::cache::status::CacheStatus;
use crate::config::Compression;
use crate::respond::body::AssetBody;
use crate::respond::coding::{self, Accepted, Coding, precompressed};
use crate::respond::conditional::Verdict;
use crate::respond::digest::Wanted;
use crate::respond::{Answer, Bytestream};
use crate::server::Inner;

/// What memory has for a request on a mount with more than plain forms.
pub(super) enum Form {
    /// The plain object is to be looked up.
    Plain,
    /// A sibling.
    Sibling(Box<Response<AssetBody>>),
    /// It must be waited for.
    Wait,
}

/// A coded form, and where its digest is kept.
struct Coded {
    key: CacheKey,
    meta: Arc<Meta>,
    bytes: Bytestream,
    kept: Arc<Meta>,
}

impl Inner {
    /// What of the request can be said before the plain object is looked up.
    pub(super) fn form_in_memory(&self, request: &Parts, miss: &Miss) -> Form {
        let mount = &miss.mount;
        if mount.delivery.digests && Wanted::of(&request.headers).any() {
            return Form::Wait;
        }
        let siblings = siblings(request, miss);
        if !siblings.is_empty() && directives(request, mount).is_some() {
            return Form::Wait;
        }
        let now = SystemTime::now();
        for sibling in siblings {
            let key = sibling.key.as_str();
            match self.fresh_in_memory(key, now) {
                Some(entry) if entry.meta.presence == Presence::Absent => {}
                Some(entry) if entry.meta.presence == Presence::Object => {
                    let status = CacheStatus::Hit;
                    let response = self.respond_with(request, mount, key, &entry, status, now);
                    return Form::Sibling(Box::new(response));
                }
                _ => return Form::Wait,
            }
        }
        Form::Plain
    }

    /// The first sibling that the client takes and the origin has.
    pub(super) async fn sibling(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
    ) -> Option<Response<AssetBody>> {
        for sibling in siblings(request, miss) {
            let known = self.fresh_in_memory(sibling.key.as_str(), SystemTime::now());
            if known.is_some_and(|entry| entry.meta.presence == Presence::Absent) {
                continue;
            }
            let response = self.plain(request, &sibling).await;
            // Whatever else comes, the plain object may do better.
            if matches!(response.status().as_u16(), 200 | 304 | 412) {
                return Some(response);
            }
        }
        None
    }

    fn fresh_in_memory(&self, key: &str, now: SystemTime) -> Option<Arc<Entry>> {
        let entry = self.cache.memory.get(key)?;
        let is_fresh = matches!(entry.meta.freshness.lookup(now), Lookup::Hit { .. });
        is_fresh.then_some(entry)
    }

    /// The response, in the form that suits the request.
    pub(super) fn represent(&self, answer: Answer<'_>, request: &Parts) -> Response<AssetBody> {
        let delivery = &answer.mount.delivery;
        let (path, kept) = (key::path_of(answer.path), answer.meta.clone());
        if let Some(coding) = key::extension_of(answer.path).and_then(precompressed::coding_of) {
            let meta = Arc::new(sibling_meta(answer.meta, path, coding));
            let answer = Answer {
                meta: &meta,
                ..answer
            };
            return self.digested(answer, kept, request);
        }
        let mut varies = delivery.precompressed && precompressed::may_have_siblings(path);
        if let Some(compression) = &delivery.compress
            && self.is_worth(compression, answer.meta)
        {
            varies = true;
            if let Some(coding) = select(compression, request)
                && let Some(coded) = self.coded(&answer, coding, request)
            {
                let answer = Answer {
                    path: coded.key.as_str(),
                    meta: &coded.meta,
                    bytes: coded.bytes,
                    ..answer
                };
                return self.digested(answer, coded.kept, request);
            }
        }
        let mut response = self.digested(answer, kept, request);
        if varies {
            coding::vary(response.headers_mut());
        }
        response
    }

    /// Whether a response is one that some clients get coded.
    pub(super) fn is_worth(&self, compression: &Compression, meta: &Meta) -> bool {
        let (status, lengths) = (meta.status, &compression.lengths);
        matches!(meta.presence, Presence::Object | Presence::Sliced)
            && meta
                .length
                .is_none_or(|length| self.cache.memory.admits(length))
            && coding::worth(status, &meta.headers, meta.length, lengths).is_ok()
    }

    /// The form in this coding; `None` if it cannot be made now.
    fn coded(&self, answer: &Answer<'_>, coding: Coding, request: &Parts) -> Option<Coded> {
        let key = coded_key(answer.path, answer.meta, coding);
        let meta = coded_meta(answer.meta, coding);
        if let Some(entry) = self.cache.memory.get(key.as_str()) {
            return Some(Coded {
                key,
                meta: Arc::new(meta.with_length(entry.meta.length)),
                bytes: Bytestream::Complete(entry.content.clone()),
                kept: entry.meta.clone(),
            });
        }
        // Who needs no bytes has none made.
        let has_body = request.method == Method::GET
            && meta.validators.evaluate(&request.headers) == Verdict::Proceed;
        let bytes = match has_body {
            true => Bytestream::Coding(self.code(answer, &key, &meta, coding)?),
            false => Bytestream::Complete(Content::Memory(Arc::from([]))),
        };
        let meta = Arc::new(meta);
        let kept = meta.clone();
        Some(Coded {
            key,
            meta,
            bytes,
            kept,
        })
    }

    /// Begins to make a form, unless it is being made. `None` if there is no room for that, or if nobody
    /// knows yet how much it will be.
    fn code(
        &self,
        answer: &Answer<'_>,
        key: &CacheKey,
        meta: &Meta,
        coding: Coding,
    ) -> Option<Arc<Fill>> {
        let length = answer.meta.length?;
        if let Some(fill) = self.cache.fills.join(key.as_str()) {
            return Some(fill);
        }
        let room = self.cache.reserve_coding(length)?;
        let (fill, role) = self.cache.fills.join_or_lead(key.as_str());
        if role == Role::Leader {
            let subject = Subject {
                mount: answer.mount.clone(),
                base: CacheKey::new(answer.path),
                asked: Arc::default(),
                request: Arc::default(),
                directives: Default::default(),
                authorized: false,
                offset: 0,
            };
            let (cache, shared) = (self.cache.clone(), fill.clone());
            let filling = Filling::begin(cache.clone(), subject, key.clone(), shared);
            let (source, plain) = (answer.bytes.clone(), CacheKey::new(answer.path));
            // What a purge has removed must not live on in another form.
            let is_current = move || match &source {
                Bytestream::Arriving(fill) => !fill.is_discarded(),
                _ => cache.holds(&plain),
            };
            let (body, meta) = (answer.uncounted(length), meta.clone());
            tokio::spawn(async move {
                filling.code(coding, body, meta, is_current).await;
                drop(room);
            });
        }
        Some(fill)
    }
}

/// The siblings that a request may be answered with, best first. A range is always one of plain bytes.
fn siblings(request: &Parts, miss: &Miss) -> ArrayVec<Miss, 3> {
    if !miss.mount.delivery.precompressed || request.headers.contains_key(RANGE) {
        return ArrayVec::new();
    }
    let accepted = Accepted::of(&request.headers);
    let siblings = precompressed::siblings(miss.base.path(), accepted);
    let siblings = siblings.into_iter().map(|sibling| {
        let key = key::of_sibling(miss.base.as_str(), sibling.coding.extension());
        Miss {
            mount: miss.mount.clone(),
            path: miss.path.clone(),
            base: key.clone(),
            key,
        }
    });
    siblings.collect()
}

/// The coding that a request gets of those that are made.
fn select(compression: &Compression, request: &Parts) -> Option<Coding> {
    // RFC 9111 section 5.2.1.6: a client may want the bytes as they are.
    let untouched = |value: &http::HeaderValue| {
        split_list(value.as_bytes()).any(|d| d.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    };
    let headers = &request.headers;
    if headers.contains_key(RANGE) || headers.get_all(CACHE_CONTROL).iter().any(untouched) {
        return None;
    }
    Accepted::of(headers).select(&compression.codings)
}

/// The key of a form: it names the version that the form is made from. What has no tag is known by when
/// it was received or confirmed.
fn coded_key(path: &str, meta: &Meta, coding: Coding) -> CacheKey {
    let version = match &meta.validators.etag {
        Some(etag) => etag.as_bytes().to_vec(),
        None => {
            let since = meta
                .freshness
                .received
                .duration_since(SystemTime::UNIX_EPOCH);
            let since = since.unwrap_or_default();
            format!("{}/{:?}", since.as_nanos(), meta.length).into_bytes()
        }
    };
    let (mark, name, version) = (key::CODED, coding.as_str(), fingerprint(&version));
    CacheKey::new(&format!("{path}{mark}{name}={version:032x}"))
}

fn coded_meta(plain: &Meta, coding: Coding) -> Meta {
    let mut headers = plain.headers.clone();
    coding::describe(&mut headers, coding);
    // Ranges are cut from the plain bytes, and must not be put into these.
    headers.remove(ACCEPT_RANGES);
    Meta::of_headers(Presence::Object, plain.status, headers, plain.freshness)
}

/// The head of a sibling: its own tag and length, and the type of the plain object.
fn sibling_meta(sibling: &Meta, path: &str, coding: Coding) -> Meta {
    let mut headers = sibling.headers.clone();
    precompressed::describe(&mut headers, path, coding);
    headers.remove(ACCEPT_RANGES);
    let (presence, status) = (sibling.presence, sibling.status);
    let meta = Meta::of_headers(presence, status, headers, sibling.freshness);
    match sibling.length {
        None => meta,
        length => meta.with_length(length),
    }
}
