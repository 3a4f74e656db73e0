//! Takes in what an origin sends: into memory, or chunk by chunk into a file.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{ABANDON_ABOVE, Filling};
use crate::cache::disk::{DiskWriter, WriteError};
use crate::cache::entry::{Content, Entry, Meta};
use crate::cache::fill::{Break, Head, Intake};
use crate::cache::freshness::Freshness;
use crate::cache::key::CacheKey;
use crate::cache::status::CacheStatus;
use crate::cache::storability::withheld_fields;
use crate::origin::{OriginBody, OriginError, OriginObject};

/// Where an object that is complete in memory belongs besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
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

impl Filling {
    /// Decides where the object goes, by its size and by what there is room for.
    pub(super) async fn receive(
        &self,
        object: OriginObject,
        freshness: Freshness,
        status: CacheStatus,
    ) {
        let policy = &self.subject.mount.policy;
        let withheld = withheld_fields(&object.headers, policy);
        let guess_type = (!self.subject.mount.is_http).then(|| self.key.path());
        let meta = Meta::of_response(
            object.status,
            &object.headers,
            &withheld,
            guess_type,
            object.length,
            freshness,
        );
        let mut own = HeaderMap::new();
        for name in &withheld {
            own.extend(
                object
                    .headers
                    .get_all(name)
                    .iter()
                    .map(|value| (name.clone(), value.clone())),
            );
        }
        self.receive_as(meta, object, status, Arc::new(own)).await;
    }

    /// The same once the metadata is known.
    pub(super) async fn receive_as(
        &self,
        meta: Meta,
        object: OriginObject,
        status: CacheStatus,
        withheld: Arc<HeaderMap>,
    ) {
        let small = object
            .length
            .filter(|length| self.cache.memory.admits(*length));
        if let Some(memory) = small.and_then(|length| self.cache.reserve_memory(length)) {
            let meta = Arc::new(meta);
            self.fill.announce(Head::Object {
                key: self.key.clone(),
                meta: meta.clone(),
                status,
                withheld,
            });
            let mut intake = Intake::new(&self.fill);
            if self.take_in(&mut intake, object.body, object.length).await {
                self.keep_in_memory(&mut intake, meta, Keep::OnDiskToo)
                    .await;
            }
            drop(memory); // held until the object is on disk as well
            return;
        }
        match self.begin_file(&self.key, &meta).await {
            Some(writer) => {
                self.fill.announce(Head::Object {
                    key: self.key.clone(),
                    meta: Arc::new(meta.clone()),
                    status,
                    withheld,
                });
                self.receive_on_disk(object.body, meta, writer).await;
            }
            None => self.fill.announce_unshared(object),
        }
    }

    /// Reads a body to its end; whether it was all there.
    pub(super) async fn take_in(
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

    pub(super) async fn keep_in_memory(
        &self,
        intake: &mut Intake<'_>,
        meta: Arc<Meta>,
        keep: Keep,
    ) {
        intake.last();
        let chunks = intake.chunks();
        let entry = Arc::new(Entry {
            meta,
            content: Content::Memory(chunks.clone()),
        });
        self.publish(entry.clone());
        // Whoever comes from now on finds the entry, and looks at it for themselves.
        self.cache.fills.end(&self.shared_key, &self.fill);
        intake.complete();
        if keep == Keep::OnDiskToo
            && let Some(mut writer) = self.begin_file(&self.key, &entry.meta).await
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

    pub(super) async fn begin_file(&self, key: &CacheKey, meta: &Meta) -> Option<DiskWriter> {
        self.fill.note_keys(&meta.headers);
        let disk = self
            .cache
            .disk
            .clone()
            .filter(|_| !self.fill.is_discarded())?;
        let (key, meta) = (key.clone(), meta.clone());
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
            // Of what does not say how long it is, as much again: it may never end.
            let arrived = intake.arrived();
            let missing = length.map_or(arrived, |length| length.saturating_sub(arrived));
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
}
