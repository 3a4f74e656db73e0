//! The path of one request, from the method to the body.
//!
//! ```text
//! key → mount → method ─ GET, HEAD ─→ memory ── usable ─────────────────────→ respond
//!                   │                    └ else → coalesce → (disk ▸ origin) → head → respond, bytes follow
//!                   ├ writes ──────────→ token → store → invalidate everywhere → respond
//!                   └ other methods ───→ origin → invalidate → respond
//! ```
//!
//! Up to a fresh entry in memory everything is synchronous: no task, no await, no lock of our own.

mod ask;
mod digest;
mod forward;
mod represent;
mod sliced;
pub(crate) mod write;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ALLOW, CACHE_CONTROL, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serving::problem::Problem;

use self::represent::Form;
use crate::cache::coalesce::Role;
use crate::cache::directives::RequestDirectives;
use crate::cache::entry::{Entry, Meta, Presence};
use crate::cache::fill::Head;
use crate::cache::filling::{Filling, Subject, refresh};
use crate::cache::find::InMemory;
use crate::cache::freshness::Lookup;
use crate::cache::key::{self, CacheKey, KeyError};
use crate::cache::status::{CacheStatus, Staleness};
use crate::config::Methods;
use crate::error::Error;
use crate::hop;
use crate::mount::Mount;
use crate::origin::OriginError;
use crate::respond::body::AssetBody;
use crate::respond::{Answer, Bytestream, CACHE_STATUS, range};
use crate::server::Inner;
use crate::signed_url::Refusal;
use crate::site;

/// How often a request may find that the fill it waited for is about another variant.
const MAX_JOINS: usize = 4;

/// What the synchronous part comes to.
pub(crate) enum First {
    /// A response.
    Done(Response<AssetBody>),
    /// Nothing in memory may be used as it is.
    Miss(Miss),
    /// A method that no cache answers.
    Forward(Miss),
    /// A write to a mount that takes any.
    Write(Miss),
}

/// A request that must wait.
pub(crate) struct Miss {
    pub(crate) mount: Arc<Mount>,
    /// The path that was asked for, in normal form.
    pub(crate) path: Arc<str>,
    /// The key without its variant part.
    pub(crate) base: CacheKey,
    /// The key that the request would be answered under, as far as it is known.
    pub(crate) key: CacheKey,
}

impl Miss {
    /// A request for one object of a mount.
    pub(crate) fn of(mount: &Arc<Mount>, path: &str, request: &Parts) -> Self {
        let base = CacheKey::new(&key::of_request(path, request, &mount.key));
        Self {
            mount: mount.clone(),
            path: path.into(),
            key: base.clone(),
            base,
        }
    }
}

impl Inner {
    /// Whether a tier has what the request asks for, whatever its state.
    pub(crate) fn is_cached(&self, request: &Parts) -> bool {
        let Ok(path) = site::normalize(request.uri.path()) else {
            return false;
        };
        let Some(mount) = self.mounts.find(&path) else {
            return false;
        };
        let object = match &mount.delivery.site {
            Some(site) => site.first(&path),
            None => Cow::Borrowed(&*path),
        };
        let key = key::of_request(&object, request, &mount.key);
        self.cache.holds(&CacheKey::new(&key))
    }

    /// Key, mount, method, memory.
    pub(crate) fn first(self: &Arc<Self>, request: &Parts) -> First {
        match self.try_first(request) {
            Ok(first) => first,
            Err(error) => First::Done(self.problem(request, &error, CacheStatus::Error)),
        }
    }

    fn try_first(self: &Arc<Self>, request: &Parts) -> Result<First, Error> {
        let path = site::normalize(request.uri.path())?;
        let mut mount = self.mounts.find(&path).ok_or(Error::NoMount)?;
        if hop::from_another_cache(&request.headers, &self.name, |id| self.purges.knows(id))? {
            mount = mount.for_another_cache();
        }
        // A writer shows a token, not the signature of a reader.
        if mount.writes.is_some() && write::is_write(request) {
            let key = CacheKey::new(&path);
            return Ok(First::Write(Miss {
                mount: mount.clone(),
                path: path.as_ref().into(),
                base: key.clone(),
                key,
            }));
        }
        // Before anything is looked up: a hit is no less private than a miss.
        if let Some(response) = self.admit(request, mount, &path) {
            return Ok(First::Done(response));
        }
        let site = mount.delivery.site.as_ref();
        let object = match site {
            Some(site) => site.first(&path),
            None if path.ends_with('/') && !mount.is_http => {
                return Err(Error::Key(KeyError::Directory));
            }
            None => Cow::Borrowed(&*path),
        };
        let base = key::of_request(&object, request, &mount.key);
        let miss = |key: &str| Miss {
            mount: mount.clone(),
            path: path.as_ref().into(),
            base: CacheKey::new(&base),
            key: CacheKey::new(key),
        };
        if request.method != Method::GET && request.method != Method::HEAD {
            return match mount.methods {
                Methods::Refuse => Err(Error::Method),
                Methods::Forward => Ok(First::Forward(miss(&base))),
            };
        }
        if mount.is_http && ask::has_conditions_for_the_origin(&request.headers) {
            return Ok(First::Miss(miss(&base)));
        }
        if mount.delivery.has_forms() {
            let miss = miss(&base);
            match self.form_in_memory(request, &miss) {
                Form::Plain => {}
                Form::Wait => return Ok(First::Miss(miss)),
                Form::Sibling(mut response) => {
                    self.dress(request, mount, &mut response);
                    return Ok(First::Done(*response));
                }
            }
        }
        let found = match self.cache.in_memory(&base, &request.headers) {
            InMemory::Plain(entry) => (None, entry),
            InMemory::Variant(found) => (Some(found.key), found.entry),
            InMemory::NoVariant(key) => return Ok(First::Miss(miss(key.as_str()))),
            InMemory::Nothing => return Ok(First::Miss(miss(&base))),
        };
        let (variant, entry) = found;
        // In a site, that there is no such object is not the end.
        if site.is_some() && entry.meta.presence == Presence::Absent {
            return Ok(First::Miss(miss(&base)));
        }
        let key = variant.as_ref().map_or(&*base, |key| key.as_str());
        let now = SystemTime::now();
        let lookup = match directives(request, mount) {
            None => entry.meta.freshness.lookup(now),
            Some(directives) => entry.meta.freshness.lookup_for(&directives, now),
        };
        let status = match lookup {
            Lookup::Hit { .. } => CacheStatus::Hit,
            Lookup::Stale => CacheStatus::StaleByRequest,
            Lookup::StaleWhileRevalidate => {
                let miss = miss(key);
                refresh(&self.cache, &self.subject(request, &miss), &miss.key);
                CacheStatus::StaleWhileRevalidate
            }
            Lookup::Revalidate => return Ok(First::Miss(miss(key))),
        };
        if entry.meta.presence == Presence::Sliced {
            let miss = miss(key);
            let subject = self.subject(request, &miss);
            return Ok(
                match self.sliced_in_memory(request, &subject, &miss, &entry, status, now) {
                    Some(mut response) => {
                        self.dress(request, mount, &mut response);
                        First::Done(response)
                    }
                    None => First::Miss(miss),
                },
            );
        }
        let mut response = self.respond_with(request, mount, key, &entry, status, now);
        self.dress(request, mount, &mut response);
        Ok(First::Done(response))
    }

    /// Everything that waits.
    pub(crate) async fn then(self: &Arc<Self>, request: &Parts, miss: Miss) -> Response<AssetBody> {
        let mount = &miss.mount;
        let mut response = match &mount.delivery.site {
            Some(site) => self.visit(request, mount, site, &miss.path).await,
            None => self.miss(request, &miss).await,
        };
        if mount.delivery.digests {
            self.digest(&mut response).await;
        }
        self.dress(request, mount, &mut response);
        response
    }

    /// One object that memory has no usable answer for: a sibling of it, or itself.
    pub(crate) async fn miss(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
    ) -> Response<AssetBody> {
        if miss.mount.delivery.precompressed
            && let Some(response) = self.sibling(request, miss).await
        {
            return response;
        }
        self.plain(request, miss).await
    }

    /// One key that memory has no usable answer for.
    async fn plain(self: &Arc<Self>, request: &Parts, miss: &Miss) -> Response<AssetBody> {
        let subject = self.subject(request, miss);
        let answered = if subject.directives.only_if_cached {
            self.only_if_cached(request, &subject).await
        } else if miss.mount.is_http && ask::has_conditions_for_the_origin(&request.headers) {
            self.conditional_on_origin(request, miss, &subject).await
        } else if request.method == Method::HEAD {
            self.head(request, miss, &subject).await
        } else if request.headers.contains_key(RANGE) && self.asks_for_parts(miss) {
            self.part(request, miss, &subject).await
        } else if self.cache.uncacheable.contains_key(miss.base.as_str()) {
            self.ask_alone(request, miss, &subject).await
        } else {
            self.join_fill(request, miss, &subject).await
        };
        answered.unwrap_or_else(|error| self.problem(request, &error, CacheStatus::Error))
    }

    /// Waits with all others for the one fill of this key, or begins it.
    async fn join_fill(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        subject: &Subject,
    ) -> Result<Response<AssetBody>, Error> {
        let mut shared_key = miss.key.clone();
        for _ in 0..MAX_JOINS {
            let (fill, role) = self.cache.fills.join_or_lead(shared_key.as_str());
            if role == Role::Leader {
                let (cache, subject) = (self.cache.clone(), subject.clone());
                // A task of its own: whoever leaves, the others go on.
                let filling = Filling::begin(cache, subject, shared_key.clone(), fill.clone());
                tokio::spawn(filling.run());
            }
            // What was there before this request came must be good enough for it.
            let late = role == Role::Joiner && fill.has_head();
            let usable = |meta: &Meta| {
                let now = SystemTime::now();
                let lookup = meta.freshness.lookup_for(&subject.directives, now);
                !late || !matches!(lookup, Lookup::Revalidate)
            };
            let led = |status| match (role, status) {
                (
                    Role::Joiner,
                    CacheStatus::UriMiss | CacheStatus::Stale | CacheStatus::VaryMiss,
                ) => CacheStatus::Collapsed,
                (_, status) => status,
            };
            // What is not for this request after all: another variant.
            let suits = |key: &CacheKey, meta: &Meta| {
                role == Role::Leader || subject.key_for(meta.status, &meta.headers) == *key
            };
            match fill.head().await {
                Head::Object { meta, .. } if !usable(&meta) => {
                    self.cache.fills.end(&shared_key, &fill);
                }
                Head::Entry { entry, .. } if !usable(&entry.meta) => {
                    self.cache.fills.end(&shared_key, &fill);
                }
                Head::Object {
                    key,
                    meta,
                    status,
                    withheld,
                } if suits(&key, &meta) => {
                    let bytes = Bytestream::Arriving(fill);
                    let now = SystemTime::now();
                    let answer =
                        self.answer(&miss.mount, key.as_str(), &meta, bytes, led(status), now);
                    let mut response = self.count(answer, request);
                    if role == Role::Leader {
                        ask::extend(response.headers_mut(), &withheld);
                    }
                    return Ok(response);
                }
                Head::Entry { key, entry, status }
                    if entry.meta.presence == Presence::Sliced && suits(&key, &entry.meta) =>
                {
                    match self
                        .sliced(request, subject, &key, &entry, led(status))
                        .await
                    {
                        // The version is gone: the next one is asked for.
                        Err(Error::Origin(error)) if matches!(*error, OriginError::Changed) => {
                            self.cache.fills.end(&shared_key, &fill);
                            self.cache.remove(&key).await;
                            shared_key = miss.key.clone();
                        }
                        answered => return answered,
                    }
                }
                Head::Entry { key, entry, status } if suits(&key, &entry.meta) => {
                    let now = SystemTime::now();
                    let (mount, status) = (&miss.mount, led(status));
                    let path = key.as_str();
                    return Ok(self.respond_with(request, mount, path, &entry, status, now));
                }
                Head::Object { meta, .. } => {
                    shared_key = subject.key_for(meta.status, &meta.headers);
                }
                Head::Entry { entry, .. } => {
                    shared_key = subject.key_for(entry.meta.status, &entry.meta.headers);
                }
                Head::Unshared => match fill.take_unshared() {
                    Some(object) => {
                        // RFC 9211 section 2.2: that no variant suited is why it was asked for.
                        let status = match miss.key == miss.base {
                            true => CacheStatus::Bypass,
                            false => CacheStatus::VaryMiss,
                        };
                        return Ok(self.pass_through(request, miss, object, status));
                    }
                    None => return self.ask_alone(request, miss, subject).await,
                },
                Head::Failed(error) => return Err(Error::Origin(error)),
            }
        }
        self.ask_alone(request, miss, subject).await
    }

    /// Whether ranges go to the origin as they are: the whole is neither stored, fresh or not, nor on its
    /// way, nor would it be fetched in slices.
    fn asks_for_parts(&self, miss: &Miss) -> bool {
        if !miss.mount.is_http || miss.mount.slicing.is_some() {
            return false;
        }
        let key = miss.key.as_str();
        let on_disk = self
            .cache
            .disk
            .as_ref()
            .is_some_and(|disk| disk.contains(key));
        !on_disk && self.cache.memory.get(key).is_none() && !self.cache.fills.contains(key)
    }

    /// What a fill needs to know of a request.
    pub(crate) fn subject(&self, request: &Parts, miss: &Miss) -> Subject {
        Subject {
            mount: miss.mount.clone(),
            base: miss.base.clone(),
            asked: Arc::new(ask::asked(request, &miss.mount)),
            request: Arc::new(request.headers.clone()),
            directives: directives(request, &miss.mount).unwrap_or_default(),
            authorized: request.headers.contains_key(http::header::AUTHORIZATION),
            offset: range::first_byte_asked_for(&request.headers),
        }
    }

    pub(crate) fn respond_with(
        &self,
        request: &Parts,
        mount: &Arc<Mount>,
        path: &str,
        entry: &Entry,
        status: CacheStatus,
        now: SystemTime,
    ) -> Response<AssetBody> {
        match entry.meta.presence {
            Presence::Object => {
                let bytes = Bytestream::Complete(entry.content.clone());
                let answer = self.answer(mount, path, &entry.meta, bytes, status, now);
                self.count(answer, request)
            }
            Presence::Absent | Presence::Variants | Presence::Sliced => {
                let mut response = self.problem(request, &Error::NotFound, status);
                let ttl = match entry.meta.freshness.lookup(now) {
                    Lookup::Hit { ttl, .. } => Some((ttl, Staleness::Fresh)),
                    _ => None,
                };
                let stored = (status == CacheStatus::UriMiss).then_some(StatusCode::NOT_FOUND);
                response
                    .headers_mut()
                    .insert(CACHE_STATUS, status.header(&self.name, ttl, stored));
                response
            }
        }
    }

    fn answer<'a>(
        &'a self,
        mount: &'a Arc<Mount>,
        path: &'a str,
        meta: &'a Arc<Meta>,
        bytes: Bytestream,
        status: CacheStatus,
        now: SystemTime,
    ) -> Answer<'a> {
        let stored = matches!(
            status,
            CacheStatus::UriMiss
                | CacheStatus::VaryMiss
                | CacheStatus::Stale
                | CacheStatus::Request
        );
        Answer {
            cache: &self.cache,
            cache_name: &self.name,
            mount,
            path,
            meta,
            bytes,
            status,
            stored,
            now,
        }
    }

    fn count(&self, answer: Answer<'_>, request: &Parts) -> Response<AssetBody> {
        self.cache.metrics.request(answer.status);
        match answer.mount.delivery.has_forms() {
            true => self.represent(answer, request),
            false => answer.respond(request),
        }
    }

    pub(crate) fn problem(
        &self,
        request: &Parts,
        error: &Error,
        cache_status: CacheStatus,
    ) -> Response<AssetBody> {
        self.cache.metrics.request(cache_status);
        let (status, reason, proxy_error) = error.verdict();
        let request_id = request
            .headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let detail = error.to_string();
        let problem = Problem {
            status,
            reason,
            detail: &detail,
            request_id,
            proxy: &self.name,
            proxy_error,
        };
        let mut response = problem.into_response().map(AssetBody::whole);
        if request.method == Method::HEAD {
            *response.body_mut() = AssetBody::empty();
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Error::Method = error {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(wait) = error.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Error::Write(error) = error {
            error.headers(headers);
        }
        if let Error::Refused(Refusal::Missing) = error {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("EdgeSignature"));
        }
        if let Error::Origin(_) | Error::NotFound = error {
            headers.insert(CACHE_STATUS, cache_status.header(&self.name, None, None));
        }
        response
    }
}

/// What a request says about caching, where the mount obeys it and it says anything.
fn directives(request: &Parts, mount: &Mount) -> Option<RequestDirectives> {
    let says = mount.obeys_requests && request.headers.contains_key(CACHE_CONTROL);
    says.then(|| RequestDirectives::of(&request.headers))
}
