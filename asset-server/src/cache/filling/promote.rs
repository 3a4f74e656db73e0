//! Brings an object from disk into memory.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Filling;
use super::receive::Keep;
use crate::cache::disk::DiskObject;
use crate::cache::entry::{CHUNK, Entry, Meta};
use crate::cache::fill::{Head, Intake};
use crate::cache::status::CacheStatus;

impl Filling {
    /// Reads an object from disk into memory, verified block by block. Where it is damaged, the origin
    /// gives the rest.
    pub(super) async fn promote(&mut self, entry: Arc<Entry>, object: Arc<DiskObject>) {
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
                            key: self.key.clone(),
                            meta,
                            status: CacheStatus::Hit,
                            withheld: Arc::default(),
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

    pub(super) async fn continue_from_origin(
        &self,
        intake: &mut Intake<'_>,
        meta: &Meta,
        length: u64,
    ) -> bool {
        match self
            .subject
            .mount
            .rest_of(
                &self.key,
                &self.subject.asked,
                meta,
                intake.arrived()..length,
            )
            .await
        {
            Ok(body) => self.take_in(intake, body, Some(length)).await,
            Err(error) => self.broken(&error),
        }
    }
}
