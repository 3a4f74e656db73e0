//! The task behind a fill: finds the object on disk or at the origin, and brings it into the cache.
//!
//! It belongs to no request, so no client that leaves can stop it, and it is the one place that
//! decides between hit, revalidation, fetch and standing in for an error.

mod promote;
mod receive;

use std::sync::Arc;
use std::time::SystemTime;

use super::Cache;
use super::disk::WriteError;
use super::entry::{Content, Entry, Meta, Presence};
use super::fill::{Break, Fill, Head};
use super::freshness::{Freshness, Lookup, Storability};
use super::key::CacheKey;
use super::status::CacheStatus;
use crate::mount::Mount;
use crate::origin::{OriginAnswer, OriginError, OriginRequest, Validator, Want};

/// A fill that nobody reads any more goes on, for whoever comes next, unless more than this is
/// missing: then it costs the origin more than it is likely to save.
const ABANDON_ABOVE: u64 = 1 << 30;

/// One fill, from the miss to the complete object.
pub(crate) struct Filling {
    cache: Arc<Cache>,
    mount: Arc<Mount>,
    key: CacheKey,
    fill: Arc<Fill>,
}

/// However the task ends, by panic too, nobody is left waiting for it.
impl Drop for Filling {
    fn drop(&mut self) {
        self.fill.end_if_growing();
        self.cache.fills.end(&self.key, &self.fill);
        self.cache.metrics.fills.dec();
    }
}

impl Filling {
    /// The task of a fill that a request has become the leader of.
    pub(crate) fn begin(
        cache: Arc<Cache>,
        mount: Arc<Mount>,
        key: CacheKey,
        fill: Arc<Fill>,
    ) -> Self {
        cache.metrics.fills.inc();
        Self {
            cache,
            mount,
            key,
            fill,
        }
    }

    /// Runs until the object is complete, or is known not to become so.
    pub(crate) async fn run(self) {
        // Between the request's lookup and its becoming leader, another fill may have ended.
        let known = match self.cache.memory.get(self.key.as_str()) {
            Some(entry) => Some(entry),
            None => self.cache.open_from_disk(&self.key).await,
        };
        match known {
            None => self.ask_origin(None).await,
            Some(entry) => match (
                entry.meta.freshness.lookup(SystemTime::now()),
                &entry.content,
            ) {
                (Lookup::Revalidate, _) => self.ask_origin(Some(entry)).await,
                (Lookup::Hit { .. }, Content::Disk(object))
                    if self.cache.memory.admits(object.length()) =>
                {
                    let object = object.clone();
                    self.promote(entry, object).await;
                }
                (Lookup::Hit { .. }, _) => self.answer_with(entry, CacheStatus::Hit),
            },
        }
    }

    async fn ask_origin(&self, known: Option<Arc<Entry>>) {
        let requested = SystemTime::now();
        let asked = self.mount.origin.fetch(OriginRequest {
            key: self.mount.object_key(&self.key),
            want: Want::Body,
            unless: known.as_deref().and_then(|entry| validator(&entry.meta)),
            only_if: None,
        });
        let answer = asked.await;
        let received = SystemTime::now();
        match (answer, known) {
            (Ok(OriginAnswer::NotModified(headers)), Some(entry)) => {
                let merged = entry.meta.merged_for_freshness(&headers);
                match Freshness::of_response(&merged, self.mount.defaults, requested, received) {
                    Storability::Store(freshness) => {
                        let entry = Arc::new(entry.refreshed(&headers, freshness));
                        if let Some(disk) = &self.cache.disk {
                            disk.renew(self.key.as_str(), entry.meta.clone());
                        }
                        self.answer_with(entry, CacheStatus::Revalidated);
                    }
                    Storability::Refuse(_) => {
                        self.fill.announce(Head::Entry {
                            entry,
                            status: CacheStatus::Revalidated,
                        });
                        self.cache.remove(&self.key).await;
                    }
                }
            }
            (Ok(OriginAnswer::NotModified(_)), None) => {
                self.fail(OriginError::Malformed(
                    "\"not modified\" to a request without a condition",
                ));
            }
            (Ok(OriginAnswer::NotFound), known) => {
                self.cache.remove(&self.key).await;
                let entry = Arc::new(Entry::absent(Freshness::for_span(
                    self.mount.negative_ttl,
                    received,
                )));
                let status = if known.is_some() {
                    CacheStatus::Stale
                } else {
                    CacheStatus::UriMiss
                };
                self.answer_with(entry, status);
            }
            (Ok(OriginAnswer::Found(object)), known) => {
                match Freshness::of_response(
                    &object.headers,
                    self.mount.defaults,
                    requested,
                    received,
                ) {
                    Storability::Store(freshness) => {
                        let status = if known.is_some() {
                            CacheStatus::Stale
                        } else {
                            CacheStatus::UriMiss
                        };
                        drop(known);
                        self.receive(object, freshness, status).await;
                    }
                    Storability::Refuse(_) => {
                        self.fill.announce_unshared(object);
                        self.cache.remove(&self.key).await;
                    }
                }
            }
            (Err(error), Some(entry)) if entry.may_stand_in_for_error(received) => {
                tracing::warn!(key = self.key.as_str(), %error, "the origin failed; the stale object stands in");
                self.fill.announce(Head::Entry {
                    entry,
                    status: CacheStatus::StaleIfError,
                });
            }
            (Err(error), _) => self.fail(error),
        }
    }

    // === small steps ===

    fn answer_with(&self, entry: Arc<Entry>, status: CacheStatus) {
        self.publish(entry.clone());
        self.fill.announce(Head::Entry { entry, status });
    }

    /// A purge that comes before is seen by the first check, one that comes meanwhile by the second.
    fn publish(&self, entry: Arc<Entry>) {
        let for_nothing =
            entry.meta.presence == Presence::Absent && self.mount.negative_ttl.is_zero();
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

/// One strong tag if there is one, else the date. More than one validator confuses some stores.
fn validator(meta: &Meta) -> Option<Validator> {
    if meta.presence == Presence::Absent {
        return None;
    }
    match meta.validators.strong_etag() {
        Some(etag) => Some(Validator::ETag(etag.clone())),
        None => meta
            .headers
            .get(http::header::LAST_MODIFIED)
            .cloned()
            .map(Validator::Date),
    }
}
