//! The task behind a fill: finds the object on disk or at the origin, and brings it into the cache.
//!
//! It belongs to no request, so no client that leaves can stop it, and it is the one place that
//! decides between hit, revalidation, fetch and standing in for an error.

mod coded;
mod complete;
mod promote;
mod receive;
mod slice;
mod subject;

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use self::slice::Sized;
pub(crate) use self::subject::Subject;
use super::Cache;
use super::disk::WriteError;
use super::entry::{Content, Entry, Meta, Presence};
use super::fill::{Break, Fill, Head};
use super::find::Found;
use super::freshness::Lookup;
use super::key::CacheKey;
use super::status::CacheStatus;
use super::storability::{Storability, withheld_fields};
use super::vary::{Varies, with_set};
use crate::origin::{OriginAnswer, OriginError, OriginObject, OriginRequest, Validator, Want};

/// A fill that nobody reads any more goes on, for whoever comes next, unless more than this is
/// missing: then it costs the origin more than it is likely to save.
const ABANDON_ABOVE: u64 = 1 << 30;

/// An answer of the origin, and when it came.
pub(crate) struct Answered {
    pub(crate) answer: Result<OriginAnswer, OriginError>,
    pub(crate) requested: SystemTime,
    pub(crate) received: SystemTime,
}

/// One fill, from the miss to the complete object.
pub(crate) struct Filling {
    cache: Arc<Cache>,
    subject: Subject,
    /// Under which the fill is shared.
    shared_key: CacheKey,
    /// Under which its object is kept.
    key: CacheKey,
    fill: Arc<Fill>,
}

/// However the task ends, by panic too, nobody is left waiting for it.
impl Drop for Filling {
    fn drop(&mut self) {
        self.fill.end_if_growing();
        self.cache.fills.finish(&self.shared_key, &self.fill);
        self.cache.metrics.fills.dec();
    }
}

impl Filling {
    /// The task of a fill that a request has become the leader of.
    pub(crate) fn begin(
        cache: Arc<Cache>,
        subject: Subject,
        shared_key: CacheKey,
        fill: Arc<Fill>,
    ) -> Self {
        cache.metrics.fills.inc();
        Self {
            cache,
            key: shared_key.clone(),
            shared_key,
            subject,
            fill,
        }
    }

    /// Runs until the object is complete, or is known not to become so.
    pub(crate) async fn run(mut self) {
        // Between the request's lookup and its becoming leader, another fill may have ended.
        let Some(known) = self.find().await else {
            return self.ask_origin(None).await;
        };
        self.key = known.key.clone();
        let (mut entry, directives) = (known.entry, self.subject.directives);
        if entry.meta.presence == Presence::Sliced {
            // No file is kept open for an entry without bytes.
            entry = Arc::new(Entry::without_bytes(entry.meta.clone()));
        }
        let lookup = entry
            .meta
            .freshness
            .lookup_for(&directives, SystemTime::now());
        match (lookup, &entry.content) {
            (Lookup::Revalidate, _) => self.ask_origin(Some(entry)).await,
            (Lookup::Hit { .. }, Content::Disk(object))
                if entry.meta.presence == Presence::Object
                    && self.cache.memory.admits(object.length()) =>
            {
                let object = object.clone();
                self.promote(entry, object).await;
            }
            (Lookup::Hit { .. }, _) => self.answer_with(entry, CacheStatus::Hit),
            (Lookup::Stale, _) => self.answer_with(entry, CacheStatus::StaleByRequest),
            // Found on disk only now: whoever waits gets it, and this task goes on for the next ones.
            (Lookup::StaleWhileRevalidate, _) => {
                self.answer_with(entry, CacheStatus::StaleWhileRevalidate);
                self.cache.fills.end(&self.shared_key, &self.fill);
                refresh(&self.cache, &self.subject, &self.shared_key);
            }
        }
    }

    /// Runs for an object that is known to need the origin.
    pub(crate) async fn refresh(mut self) {
        let known = self.find().await;
        if let Some(known) = &known {
            self.key = known.key.clone();
        }
        self.ask_origin(known.map(|known| known.entry)).await;
    }

    /// Runs with an answer that somebody has got already.
    pub(crate) async fn take(mut self, answered: Answered) {
        self.settle(answered, None).await;
    }

    async fn find(&self) -> Option<Found> {
        self.cache
            .find(&self.subject.base, &self.subject.request)
            .await
    }

    async fn ask_origin(&mut self, known: Option<Arc<Entry>>) {
        if known.is_none() && self.subject.mount.is_http && self.complete().await {
            return;
        }
        let requested = SystemTime::now();
        let mount = self.subject.mount.clone();
        let request = OriginRequest {
            unless: known.as_deref().and_then(|entry| validator(&entry.meta)),
            ..self.subject.question(self.first_want())
        };
        // Who can be answered with what is there does not wait for a second try.
        let stands_in = known
            .as_deref()
            .is_some_and(|entry| entry.may_stand_in_for_error(requested));
        let mut answer = match stands_in {
            true => mount.origin.fetch_once(request.clone()).await,
            false => mount.origin.fetch(request.clone()).await,
        };
        // The object ends before the range: only now is it known how short it is.
        if let Err(OriginError::Unsatisfiable) = answer {
            let want = Want::Body;
            answer = mount.origin.fetch(OriginRequest { want, ..request }).await;
        }
        let answered = Answered {
            answer,
            requested,
            received: SystemTime::now(),
        };
        self.settle(answered, known).await;
    }

    /// What the origin's answer means for what is known (RFC 9111 sections 3 and 4.3.3).
    async fn settle(&mut self, answered: Answered, known: Option<Arc<Entry>>) {
        let Answered {
            answer,
            requested,
            received,
        } = answered;
        let would_do = known.as_ref().is_some_and(|entry| {
            let lookup = entry.meta.freshness.lookup(requested);
            !matches!(lookup, Lookup::Revalidate | Lookup::StaleWhileRevalidate)
        });
        let status = match (&known, would_do) {
            (Some(_), true) => CacheStatus::Request,
            (Some(_), false) => CacheStatus::Stale,
            (None, _) if self.shared_key != self.subject.base => CacheStatus::VaryMiss,
            (None, _) => CacheStatus::UriMiss,
        };
        let stand_in = known
            .clone()
            .filter(|entry| entry.may_stand_in_for_error(received));
        match (answer, known) {
            // RFC 9111 section 4.3.4: it confirms something, but not what is stored.
            (Ok(OriginAnswer::NotModified(headers)), Some(entry))
                if names_another_version(&headers, &entry.meta) =>
            {
                drop(entry);
                self.ask_for_the_whole().await;
            }
            (Ok(OriginAnswer::NotModified(headers)), Some(entry)) => {
                let status = match status {
                    CacheStatus::Request => CacheStatus::RequestRevalidated,
                    _ => CacheStatus::Revalidated,
                };
                let moments = (requested, received);
                self.confirm(entry, &headers, moments, status).await;
            }
            (Ok(OriginAnswer::NotModified(_)), None) => {
                self.fail(OriginError::Malformed(
                    "\"not modified\" to a request without a condition",
                ));
            }
            (Ok(OriginAnswer::NotFound), _) => {
                self.cache.remove(&self.key).await;
                let ttl = self.subject.mount.policy.negative_ttl;
                let freshness = super::freshness::Freshness::for_span(ttl, received);
                self.answer_with(Arc::new(Entry::absent(freshness)), status);
            }
            (Ok(OriginAnswer::Found(object)), known) => match stand_in {
                // RFC 5861 section 4: these are errors.
                Some(entry) if is_error(object.status) => {
                    let error = OriginError::Status(object.status.as_u16());
                    self.stand_in(entry, &error);
                }
                _ => {
                    let (object, sliced) = match self.size(object) {
                        Sized::Whole(object) => (object, None),
                        Sized::Slice(mut object, index, total) => {
                            object.status = StatusCode::OK; // as far as the object goes
                            (object, Some((index, total)))
                        }
                        Sized::Unversioned => return self.ask_for_the_whole().await,
                    };
                    let verdict =
                        self.subject
                            .judge(object.status, &object.headers, requested, received);
                    match verdict {
                        Storability::Store(freshness) => {
                            drop(known);
                            self.key = self.subject.key_for(object.status, &object.headers);
                            self.note_variants(&object.headers).await;
                            match sliced {
                                Some(place) => {
                                    self.receive_slice(object, place, freshness, status).await;
                                }
                                None => self.receive(object, freshness, status).await,
                            }
                        }
                        // What is not kept is not sliced either.
                        Storability::Refuse(_) if sliced.is_some() => {
                            drop(object);
                            self.ask_for_the_whole().await;
                        }
                        Storability::Refuse(reason) => {
                            tracing::debug!(
                                key = self.key.as_str(),
                                reason = reason.as_str(),
                                "not stored"
                            );
                            let is_error = is_error(object.status);
                            self.hand_on(object);
                            // An error says nothing about what is stored.
                            if !is_error {
                                self.cache.remove(&self.key).await;
                            }
                        }
                    }
                }
            },
            (Err(error), _) => match stand_in {
                Some(entry) => self.stand_in(entry, &error),
                None => self.fail(error),
            },
        }
    }

    /// An object whose slices cannot be told from those of another version is fetched in one piece.
    async fn ask_for_the_whole(&mut self) {
        let requested = SystemTime::now();
        let request = self.subject.question(Want::Body);
        let answer = self.subject.mount.origin.fetch(request).await;
        let received = SystemTime::now();
        match answer {
            Ok(OriginAnswer::Found(object)) if object.status != StatusCode::PARTIAL_CONTENT => {
                let answered = Answered {
                    answer: Ok(OriginAnswer::Found(object)),
                    requested,
                    received,
                };
                Box::pin(self.settle(answered, None)).await;
            }
            Ok(_) => self.fail(OriginError::Malformed(
                "a part where the whole was asked for",
            )),
            Err(error) => self.fail(error),
        }
    }

    /// RFC 9111 section 4.3.4: what is stored is good for longer.
    async fn confirm(
        &self,
        entry: Arc<Entry>,
        headers: &HeaderMap,
        (requested, received): (SystemTime, SystemTime),
        status: CacheStatus,
    ) {
        let merged = entry.meta.merged_for_freshness(headers);
        let subject = &self.subject;
        match subject.judge(entry.meta.status, &merged, requested, received) {
            Storability::Store(freshness) => {
                let withheld = withheld_fields(&merged, &subject.mount.policy);
                let old = entry;
                let entry = Arc::new(old.refreshed(headers, &withheld, freshness));
                let cache = &self.cache;
                cache.renew_on_disk(&self.key, &old.meta, &entry.meta).await;
                self.answer_with(entry, status);
            }
            Storability::Refuse(_) => {
                self.announce_entry(entry, status);
                self.cache.remove(&self.key).await;
            }
        }
    }

    /// Remembers what the responses of this key vary by, so that the variant is found again.
    async fn note_variants(&self, headers: &HeaderMap) {
        let Varies::By(set) = Varies::of(headers) else {
            return;
        };
        let base = &self.subject.base;
        let known = match self.cache.memory.get(base.as_str()) {
            Some(entry) => Some(entry),
            None => self.cache.open_from_disk(base).await,
        };
        let sets = known.as_ref().map_or(&[][..], |entry| &entry.meta.variants);
        if sets.first() == Some(&set) || self.fill.is_discarded() {
            return;
        }
        let entry = Arc::new(Entry::varying(with_set(sets, &set), SystemTime::now()));
        self.cache.memory.insert(base.clone(), entry.clone());
        if let Some(writer) = self.begin_file(base, &entry.meta).await {
            let written = tokio::task::spawn_blocking(move || writer.publish()).await;
            if let Ok(written) = written {
                self.note_write(written.map(|_| ()));
            }
        }
    }

    // === small steps ===

    fn answer_with(&self, entry: Arc<Entry>, status: CacheStatus) {
        self.publish(entry.clone());
        self.announce_entry(entry, status);
    }

    fn announce_entry(&self, entry: Arc<Entry>, status: CacheStatus) {
        // Whoever comes from now on looks at the entry for themselves.
        self.cache.fills.end(&self.shared_key, &self.fill);
        let key = self.key.clone();
        self.fill.announce(Head::Entry { key, entry, status });
    }

    fn stand_in(&self, entry: Arc<Entry>, error: &OriginError) {
        tracing::warn!(key = self.key.as_str(), %error, "the origin failed; the stale object stands in");
        self.announce_entry(entry, CacheStatus::StaleIfError);
    }

    /// The answer is not for everyone: one request gets it, the others ask for themselves, and so do
    /// those that come in the next seconds, unless it is an error that may be gone by then.
    fn hand_on(&self, object: OriginObject) {
        if !object.status.is_server_error() {
            self.cache.uncacheable.insert(self.subject.base.clone(), ());
        }
        self.fill.announce_unshared(object);
    }

    /// A purge that comes before is seen by the first check, one that comes meanwhile by the second.
    fn publish(&self, entry: Arc<Entry>) {
        let for_nothing = entry.meta.presence == Presence::Absent
            && self.subject.mount.policy.negative_ttl.is_zero();
        self.fill.note_keys(&entry.meta.headers);
        if for_nothing || self.fill.is_discarded() {
            return;
        }
        self.cache.publish(&self.key, entry);
        if self.fill.is_discarded() {
            self.cache.memory.remove(self.key.as_str());
        }
    }

    fn fail(&self, error: OriginError) {
        tracing::warn!(key = self.key.as_str(), %error, "the origin failed");
        self.cache.metrics.failed_fills.inc();
        self.fill.announce(Head::Failed(Arc::new(error)));
    }

    /// Ends the fill before its object is complete. Always false, for the caller to pass on.
    fn broken(&self, error: &OriginError) -> bool {
        tracing::warn!(key = self.key.as_str(), %error, "a fill ended before its object was complete");
        self.cache.metrics.failed_fills.inc();
        self.fill.end_broken(Break::Origin);
        false
    }

    fn note_write(&self, written: Result<(), WriteError>) {
        if let Err(error) = written {
            self.cache.metrics.disk_errors.inc();
            tracing::warn!(key = self.key.as_str(), %error, "an object is not kept on disk");
        }
    }

    /// One reference is ours, one is the table's.
    fn nobody_reads(&self) -> bool {
        Arc::strong_count(&self.fill) <= 2
    }
}

/// Asks the origin in the background, unless somebody does already.
pub(crate) fn refresh(cache: &Arc<Cache>, subject: &Subject, shared_key: &CacheKey) {
    let (fill, role) = cache.fills.join_or_lead(shared_key.as_str());
    if role == super::coalesce::Role::Leader {
        let filling = Filling::begin(cache.clone(), subject.clone(), shared_key.clone(), fill);
        tokio::spawn(filling.refresh());
    }
}

/// Whether a 304 has a strong tag that is not the stored one.
fn names_another_version(headers: &HeaderMap, meta: &Meta) -> bool {
    match (
        headers.get(http::header::ETAG),
        meta.validators.strong_etag(),
    ) {
        (Some(new), Some(stored)) => new.as_bytes().starts_with(b"\"") && new != stored,
        _ => false,
    }
}

/// RFC 5861 section 4.
fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// What a stored response is revalidated by.
pub(crate) fn validator(meta: &Meta) -> Option<Validator> {
    if meta.presence == Presence::Absent {
        return None;
    }
    let validator = Validator {
        etag: meta.validators.etag.clone(),
        date: meta.headers.get(http::header::LAST_MODIFIED).cloned(),
    };
    (validator.etag.is_some() || validator.date.is_some()).then_some(validator)
}
