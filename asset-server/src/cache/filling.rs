//! The task behind a fill: finds the object on disk or at the origin, and brings it into the cache.
//!
//! It belongs to no request, so no client that leaves can stop it, and it is the one place that
//! decides between hit, revalidation, fetch and standing in for an error.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Cache;
use super::disk::{DiskObject, DiskWriter, WriteError};
use super::entry::{CHUNK, Content, Entry, Meta, Presence};
use super::fill::{Break, Fill, Head, Intake};
use super::freshness::{Freshness, Lookup, Storability};
use super::key::CacheKey;
use super::status::CacheStatus;
use crate::mount::Mount;
use crate::origin::{
    OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest, Validator, Want,
};

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

    /// Decides where the object goes, by its size and by what there is room for.
    async fn receive(&self, object: OriginObject, freshness: Freshness, status: CacheStatus) {
        let meta = Meta::of_object(self.key.as_str(), &object.headers, object.length, freshness);
        let small = object
            .length
            .filter(|length| self.cache.memory.admits(*length));
        if let Some(memory) = small.and_then(|length| self.cache.reserve_memory(length)) {
            let meta = Arc::new(meta);
            self.fill.announce(Head::Object {
                meta: meta.clone(),
                status,
            });
            let mut intake = Intake::new(&self.fill);
            if self.take_in(&mut intake, object.body, object.length).await {
                self.keep_in_memory(&mut intake, meta, Keep::OnDiskToo)
                    .await;
            }
            drop(memory); // held until the object is on disk as well
            return;
        }
        match self.begin_file(&meta).await {
            Some(writer) => {
                self.fill.announce(Head::Object {
                    meta: Arc::new(meta.clone()),
                    status,
                });
                self.receive_on_disk(object.body, meta, writer).await;
            }
            None => self.fill.announce_unshared(object),
        }
    }

    /// Reads a body to its end; whether it was all there.
    async fn take_in(
        &self,
        intake: &mut Intake<'_>,
        mut body: OriginBody,
        length: Option<u64>,
    ) -> bool {
        while let Some(piece) = body.next().await {
            let mut rest = match piece {
                Ok(piece) => piece,
                Err(error) => return self.broken(&error),
            };
            while !rest.is_empty() {
                rest = intake.push(rest).map_or_else(Bytes::new, |(_, rest)| rest);
            }
            if length.is_some_and(|length| intake.arrived() > length) {
                return self.broken(&OriginError::Malformed("a body longer than announced"));
            }
        }
        if length.is_some_and(|length| intake.arrived() != length) {
            return self.broken(&OriginError::Malformed("a body shorter than announced"));
        }
        true
    }

    async fn keep_in_memory(&self, intake: &mut Intake<'_>, meta: Arc<Meta>, keep: Keep) {
        intake.last();
        let chunks = intake.chunks();
        let entry = Arc::new(Entry {
            meta,
            content: Content::Memory(chunks.clone()),
        });
        self.publish(entry.clone());
        intake.complete();
        if keep == Keep::OnDiskToo
            && let Some(mut writer) = self.begin_file(&entry.meta).await
        {
            let written = spawn_blocking(move || {
                chunks.iter().try_for_each(|chunk| writer.append(chunk))?;
                writer.publish()
            });
            self.note_write(
                written
                    .await
                    .map_err(std::io::Error::other)
                    .unwrap_or_else(|e| Err(e.into()))
                    .map(|_| ()),
            );
            if self.fill.is_discarded() {
                self.cache.remove(&self.key).await;
            }
        }
    }

    async fn begin_file(&self, meta: &Meta) -> Option<DiskWriter> {
        let disk = self
            .cache
            .disk
            .clone()
            .filter(|_| !self.fill.is_discarded())?;
        let (key, meta) = (self.key.clone(), meta.clone());
        match spawn_blocking(move || disk.create(key, &meta)).await {
            Ok(Ok(writer)) => Some(writer),
            Ok(Err(error)) => {
                self.note_write(Err(error));
                None
            }
            Err(_) => None,
        }
    }

    /// While one chunk is written, the next arrives.
    async fn receive_on_disk(&self, mut body: OriginBody, meta: Meta, writer: DiskWriter) {
        let length = meta.length;
        let mut intake = Intake::new(&self.fill);
        let mut writer = Writing::Idle(writer);
        while let Some(piece) = body.next().await {
            let mut rest = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    self.broken(&error);
                    return;
                }
            };
            while let Some((chunk, more)) = intake.push(rest) {
                rest = more;
                let Some(idle) = self.written(writer, &intake).await else {
                    return;
                };
                writer = Writing::append(idle, chunk);
                if rest.is_empty() {
                    break;
                }
            }
            if length.is_some_and(|length| intake.arrived() > length) {
                {
                    self.broken(&OriginError::Malformed("a body longer than announced"));
                    return;
                }
            }
            let missing = length.map_or(0, |length| length.saturating_sub(intake.arrived()));
            if missing > ABANDON_ABOVE && self.nobody_reads() {
                {
                    self.broken(&OriginError::Body("every reader has left".into()));
                    return;
                }
            }
        }
        if length.is_some_and(|length| intake.arrived() != length) {
            {
                self.broken(&OriginError::Malformed("a body shorter than announced"));
                return;
            }
        }
        let Some(mut idle) = self.written(writer, &intake).await else {
            return;
        };
        if let Some(last) = intake.last() {
            match self.written(Writing::append(idle, last), &intake).await {
                Some(writer) => idle = writer,
                None => return,
            }
        }
        // The readers have all they need, whatever becomes of the file.
        intake.complete();
        if self.fill.is_discarded() {
            return;
        }
        match spawn_blocking(move || idle.publish()).await {
            Ok(Ok(object)) => {
                let meta = Arc::new(meta.with_length(Some(object.length())));
                self.publish(Arc::new(Entry {
                    meta,
                    content: Content::Disk(object),
                }));
                if self.fill.is_discarded() {
                    self.cache.remove(&self.key).await;
                }
            }
            Ok(Err(error)) => self.note_write(Err(error)),
            Err(_) => {}
        }
    }

    /// Waits for a write under way, and lets the readers know. `None` if the disk failed: the readers
    /// go on with the origin.
    async fn written(&self, writer: Writing, intake: &Intake<'_>) -> Option<DiskWriter> {
        let outcome = match writer {
            Writing::Idle(writer) => return Some(writer),
            Writing::Busy(task) => task.await,
        };
        match outcome {
            Ok((writer, Ok(()))) => {
                intake.written(&writer);
                Some(writer)
            }
            Ok((_, Err(error))) => {
                self.note_write(Err(error));
                self.fill.end_broken(Break::Disk);
                None
            }
            Err(_) => {
                self.fill.end_broken(Break::Disk);
                None
            }
        }
    }

    /// Reads an object from disk into memory, verified block by block. Where it is damaged, the origin
    /// gives the rest.
    async fn promote(&self, entry: Arc<Entry>, object: Arc<DiskObject>) {
        let length = object.length();
        let Some(memory) = self.cache.reserve_memory(length) else {
            return self.answer_with(entry, CacheStatus::Hit);
        };
        let mut intake = Intake::new(&self.fill);
        while intake.arrived() < length || length == 0 {
            let (file, at) = (object.clone(), intake.arrived());
            let read = spawn_blocking(move || file.read(at, CHUNK)).await;
            match read {
                Ok(Ok(bytes)) => {
                    if at == 0 {
                        let meta = entry.meta.clone();
                        self.fill.announce(Head::Object {
                            meta,
                            status: CacheStatus::Hit,
                        });
                    }
                    if bytes.is_empty() {
                        break;
                    }
                    intake.push(bytes);
                }
                Ok(Err(error)) => {
                    self.cache
                        .drop_unreadable(self.key.as_str(), &object, &error);
                    if at == 0 {
                        // Nothing has been said yet, so this is simply a miss.
                        return self.ask_origin(None).await;
                    }
                    if !self
                        .continue_from_origin(&mut intake, &entry.meta, length)
                        .await
                    {
                        return;
                    }
                    return self
                        .keep_in_memory(&mut intake, entry.meta.clone(), Keep::OnDiskToo)
                        .await;
                }
                Err(_) => return, // the guard ends the fill
            }
        }
        self.keep_in_memory(&mut intake, entry.meta.clone(), Keep::InMemoryOnly)
            .await;
        drop(memory);
    }

    async fn continue_from_origin(
        &self,
        intake: &mut Intake<'_>,
        meta: &Meta,
        length: u64,
    ) -> bool {
        match self
            .mount
            .rest_of(&self.key, meta, intake.arrived()..length)
            .await
        {
            Ok(body) => self.take_in(intake, body, Some(length)).await,
            Err(error) => self.broken(&error),
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

/// Where an object that is complete in memory belongs besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    InMemoryOnly,
    OnDiskToo,
}

/// A file, and whether a blocking thread has it.
enum Writing {
    Idle(DiskWriter),
    Busy(JoinHandle<(DiskWriter, Result<(), WriteError>)>),
}

impl Writing {
    fn append(mut writer: DiskWriter, chunk: Bytes) -> Self {
        Self::Busy(spawn_blocking(move || {
            let written = writer.append(&chunk);
            (writer, written)
        }))
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
