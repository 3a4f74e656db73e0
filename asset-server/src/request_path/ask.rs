//! Requests that ask the origin for themselves: HEAD, what is not kept, and what must come from the
//! cache or not at all.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{
    ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

use super::Miss;
use crate::cache::coalesce::Role;
use crate::cache::entry::{Entry, Meta, Presence};
use crate::cache::fill::Head;
use crate::cache::filling::{Answered, Filling, Subject, validator};
use crate::cache::find::Found;
use crate::cache::freshness::{Freshness, Lookup};
use crate::cache::key::CacheKey;
use crate::cache::status::CacheStatus;
use crate::cache::storability::{Storability, withheld_fields};
use crate::cache::stored_headers::remove_connection_fields;
use crate::cache::{key, part, vary};
use crate::error::Error;
use crate::mount::Mount;
use crate::origin::{Asked, OriginAnswer, OriginObject, Want};
use crate::respond::body::AssetBody;
use crate::respond::coding::{self, precompressed};
use crate::respond::pieces::OriginPieces;
use crate::respond::{Bytestream, CACHE_STATUS};
use crate::server::Inner;
use crate::signed_url;

/// What an HTTP origin is asked with: the request's own headers, but for those of the connection, the
/// preconditions, which we evaluate ourselves, and the range, which we cut out ourselves.
pub(super) fn asked(request: &Parts, mount: &Mount) -> Asked {
    if !mount.is_http {
        return Asked::default();
    }
    let mut asked = passed_on(request, mount);
    for name in [
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        IF_RANGE,
        RANGE,
    ] {
        asked.headers.remove(name);
    }
    asked
}

/// A request's query and end-to-end headers.
pub(super) fn passed_on(request: &Parts, mount: &Mount) -> Asked {
    let mut headers = request.headers.clone();
    remove_connection_fields(&mut headers);
    headers.remove(HOST);
    // RFC 9110 section 7.6.3: whoever passes a message on says so, and in which version it came.
    let via = match request.version {
        Version::HTTP_2 => "2.0 asset-server",
        Version::HTTP_10 => "1.0 asset-server",
        _ => "1.1 asset-server",
    };
    headers.append(VIA, HeaderValue::from_static(via));
    if mount.delivery.private {
        signed_url::remove_cookie(&mut headers);
    }
    if let Some(codings) = vary::normalized_accept_encoding(&request.headers) {
        headers.insert(ACCEPT_ENCODING, codings);
    }
    Asked {
        query: key::counted_query(request.uri.query(), &mount.key.query).map(Into::into),
        headers,
    }
}

impl Inner {
    /// RFC 9111 section 5.2.1.7: from the cache, or 504.
    pub(super) async fn only_if_cached(
        &self,
        request: &Parts,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let found = self.cache.find(&subject.base, &subject.request).await;
        let Found { key, entry } = found.ok_or(Error::NotCached)?;
        let now = SystemTime::now();
        let status = match entry.meta.freshness.lookup_for(&subject.directives, now) {
            Lookup::Hit { .. } => CacheStatus::Hit,
            Lookup::Stale => CacheStatus::StaleByRequest,
            Lookup::StaleWhileRevalidate => CacheStatus::StaleWhileRevalidate,
            Lookup::Revalidate => return Err(Error::NotCached),
        };
        self.answer_from(request, subject, &key, &entry, status)
            .await
    }

    /// The answer out of an entry, whichever way its bytes are kept.
    async fn answer_from(
        &self,
        request: &Parts,
        subject: &Subject,
        key: &CacheKey,
        entry: &Entry,
        status: CacheStatus,
    ) -> Result<Response<AssetBody>, Error> {
        if entry.meta.presence == Presence::Sliced {
            return self.sliced(request, subject, key, entry, status).await;
        }
        let (mount, now) = (&subject.mount, SystemTime::now());
        Ok(self.respond_with(request, mount, key.as_str(), entry, status, now))
    }

    /// An object that is not kept: each request asks for itself. If it can be kept this time, it is.
    pub(super) async fn ask_alone(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let requested = SystemTime::now();
        let asked = subject.question(Want::Body);
        match miss.mount.origin.fetch(asked).await {
            Ok(OriginAnswer::Found(object)) => {
                let moments = (requested, SystemTime::now());
                let answered = self.keep_or_pass(request, miss, subject, object, moments);
                Ok(answered.await)
            }
            Ok(_) => Err(Error::NotFound),
            Err(error) => Err(Error::Origin(Arc::new(error))),
        }
    }

    /// An answer that somebody got for themselves: kept if it may be, and passed on in any case.
    pub(super) async fn keep_or_pass(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
        object: OriginObject,
        (requested, received): (SystemTime, SystemTime),
    ) -> Response<AssetBody> {
        let passed = match request.method {
            Method::GET => CacheStatus::Bypass,
            _ => CacheStatus::Method,
        };
        let verdict = subject.judge(object.status, &object.headers, requested, received);
        // Of what only answers the range or the condition of this request, nothing is kept.
        let is_special = subject.asked.headers.contains_key(RANGE)
            && !matches!(object.status.as_u16(), 200 | 206)
            || has_conditions_for_the_origin(&subject.asked.headers);
        if matches!(verdict, Storability::Refuse(_)) || is_special {
            return self.pass_through(request, miss, object, passed);
        }
        self.cache.uncacheable.invalidate(miss.base.as_str());
        let known_part = object.status == StatusCode::PARTIAL_CONTENT
            && self
                .cache
                .memory
                .get(part::key_of(&miss.base).as_str())
                .is_some();
        let key = subject.key_for(object.status, &object.headers);
        let (fill, role) = self.cache.fills.join_or_lead(key.as_str());
        if role == Role::Joiner {
            return self.pass_through(request, miss, object, passed);
        }
        let answered = Answered {
            answer: Ok(OriginAnswer::Found(object)),
            requested,
            received,
        };
        let filling = Filling::begin(self.cache.clone(), subject.clone(), key, fill.clone());
        tokio::spawn(filling.take(answered));
        match fill.head().await {
            Head::Object {
                key,
                meta,
                withheld,
                ..
            } => {
                let (bytes, now) = (Bytestream::Arriving(fill), SystemTime::now());
                let status = match request.method {
                    Method::GET if known_part => CacheStatus::Partial,
                    Method::GET if miss.key != miss.base => CacheStatus::VaryMiss,
                    Method::GET => CacheStatus::UriMiss,
                    _ => CacheStatus::Method,
                };
                let answer = self.answer(&miss.mount, key.as_str(), &meta, bytes, status, now);
                let mut response = self.count(answer, request);
                extend(response.headers_mut(), &withheld);
                response
            }
            // Too large to be kept.
            _ => match fill.take_unshared() {
                Some(object) => self.pass_through(request, miss, object, passed),
                None => self.problem(request, &Error::NotCached, CacheStatus::Error),
            },
        }
    }

    /// A range of something that is not stored as a whole, from an HTTP origin: from a part that is
    /// stored, or asked for as it is (RFC 9111 section 3.3).
    pub(super) async fn part(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let now = SystemTime::now();
        let key = part::key_of(&miss.base);
        if let Some(entry) = self.cache.memory.get(key.as_str())
            && let Lookup::Hit { .. } = entry.meta.freshness.lookup_for(&subject.directives, now)
            && part::cut(&entry.meta, &request.headers).is_some()
        {
            let (path, status) = (key.as_str(), CacheStatus::Hit);
            return Ok(self.respond_with(request, &miss.mount, path, &entry, status, now));
        }
        let subject = with_fields(subject, request, &[RANGE, IF_RANGE]);
        self.ask_alone(request, miss, &subject).await
    }

    /// RFC 9110 section 13.1.1: `If-Match` and `If-Unmodified-Since` are about the state of the origin,
    /// so an HTTP origin decides.
    pub(super) async fn conditional_on_origin(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let fields = [
            IF_MATCH,
            IF_UNMODIFIED_SINCE,
            IF_NONE_MATCH,
            IF_MODIFIED_SINCE,
            RANGE,
            IF_RANGE,
        ];
        let subject = with_fields(subject, request, &fields);
        self.ask_alone(request, miss, &subject).await
    }

    /// HEAD asks the origin for the head alone: no fill for a question. What it learns updates what is
    /// stored (RFC 9111 section 4.3.5).
    pub(super) async fn head(
        &self,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let found = self.cache.find(&subject.base, &subject.request).await;
        let now = SystemTime::now();
        if let Some(Found { key, entry }) = &found {
            let lookup = entry.meta.freshness.lookup_for(&subject.directives, now);
            if let Lookup::Hit { .. } = lookup {
                let answer = self.answer_from(request, subject, key, entry, CacheStatus::Hit);
                return answer.await;
            }
        }
        let mut question = subject.question(Want::Head);
        // A store of objects says less when nothing has changed; an HTTP origin says all it has.
        if !miss.mount.is_http {
            let known = found.as_ref().map(|found| &found.entry.meta);
            question.unless = known.and_then(|meta| validator(meta));
        }
        let requested = SystemTime::now();
        let answer = miss.mount.origin.fetch(question).await;
        let received = SystemTime::now();
        let (headers, status) = match (answer, &found) {
            (Ok(OriginAnswer::NotModified(headers)), Some(_)) => (headers, StatusCode::OK),
            (Ok(OriginAnswer::Found(object)), Some(found))
                if describes(&object, &found.entry.meta) =>
            {
                (object.headers, object.status)
            }
            (Ok(OriginAnswer::Found(object)), found) => {
                if let Some(found) = found.as_ref().filter(|_| object.status.is_success()) {
                    self.cache.remove(&found.key).await; // it is another version
                }
                return Ok(self.pass_through(request, miss, object, CacheStatus::UriMiss));
            }
            (Ok(_), _) => return Err(Error::NotFound),
            (Err(error), Some(Found { key, entry })) if entry.may_stand_in_for_error(received) => {
                tracing::warn!(key = key.as_str(), %error, "the origin failed; the stale object stands in");
                let status = CacheStatus::StaleIfError;
                return self.answer_from(request, subject, key, entry, status).await;
            }
            (Err(error), _) => return Err(Error::Origin(Arc::new(error))),
        };
        let Some(Found { key, entry }) = found else {
            return Err(Error::NotFound);
        };
        let merged = entry.meta.merged_for_freshness(&headers);
        let entry = match subject.judge(status, &merged, requested, received) {
            Storability::Store(freshness) => {
                let withheld = withheld_fields(&merged, &miss.mount.policy);
                let old = entry;
                let entry = Arc::new(old.refreshed(&headers, &withheld, freshness));
                let cache = &self.cache;
                cache.renew_on_disk(&key, &old.meta, &entry.meta).await;
                self.cache.publish(&key, entry.clone());
                entry
            }
            Storability::Refuse(_) => entry,
        };
        let status = CacheStatus::Revalidated;
        self.answer_from(request, subject, &key, &entry, status)
            .await
    }

    /// An answer that is not kept, as it is.
    pub(super) fn pass_through(
        &self,
        request: &Parts,
        miss: &Miss,
        object: OriginObject,
        status: CacheStatus,
    ) -> Response<AssetBody> {
        let now = SystemTime::now();
        let freshness = Freshness::for_span(std::time::Duration::ZERO, now);
        let guess_type = (!miss.mount.is_http).then(|| miss.base.path());
        let meta = Meta::of_response(
            object.status,
            &object.headers,
            &[],
            guess_type,
            object.length,
            freshness,
        );
        let mut response = Response::new(AssetBody::empty());
        *response.status_mut() = object.status;
        // Others may get it coded, once it is kept.
        let varies = miss.mount.delivery.compress.as_ref();
        let varies = varies.is_some_and(|compression| self.is_worth(compression, &meta));
        *response.headers_mut() = meta.headers;
        let headers = response.headers_mut();
        // Its age is the origin's to say, and its ranges are not ours to cut.
        for name in [http::header::AGE, http::header::ACCEPT_RANGES] {
            headers.remove(&name);
            headers.extend(
                object
                    .headers
                    .get(&name)
                    .cloned()
                    .map(|value| (name, value)),
            );
        }
        let key = miss.base.as_str();
        if let Some(coding) = key::extension_of(key).and_then(precompressed::coding_of) {
            precompressed::describe(headers, miss.base.path(), coding);
        } else if varies {
            coding::vary(headers);
        }
        headers.append(CACHE_STATUS, status.header(&self.name, None, None));
        if request.method != Method::HEAD {
            let pieces = OriginPieces::new(object.body, self.cache.metrics.origin_bytes.clone());
            *response.body_mut() = AssetBody::stream(Box::new(pieces), object.length);
        }
        self.cache.metrics.request(status);
        response
    }
}

/// Whether a request asks for something that only the origin can decide.
pub(super) fn has_conditions_for_the_origin(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE)
}

/// The subject with fields of the request that usually are ours to deal with.
fn with_fields(subject: &Subject, request: &Parts, fields: &[HeaderName]) -> Subject {
    let mut asked = Asked::clone(&subject.asked);
    for name in fields {
        let value = request.headers.get(name).cloned();
        asked
            .headers
            .extend(value.map(|value| (name.clone(), value)));
    }
    Subject {
        asked: Arc::new(asked),
        ..subject.clone()
    }
}

/// Adds fields, several of one name too.
pub(super) fn extend(headers: &mut HeaderMap, more: &HeaderMap) {
    for (name, value) in more {
        headers.append(name.clone(), value.clone());
    }
}

/// RFC 9111 section 4.3.5: whether an answer to HEAD is about the stored response.
fn describes(object: &OriginObject, meta: &Meta) -> bool {
    let same = |name: http::HeaderName| {
        let (new, old) = (object.headers.get(&name), meta.headers.get(&name));
        new.is_none() || new == old
    };
    object.status == meta.status
        && matches!(meta.presence, Presence::Object | Presence::Sliced)
        && same(http::header::ETAG)
        && same(http::header::LAST_MODIFIED)
        && (object.length.is_none() || object.length == meta.length)
}
