//! Makes the coded form of an object: for all who wait for it now, and to be kept for those to come.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::future::poll_fn;
use tokio::task::spawn_blocking;

use super::Filling;
use super::receive::Keep;
use crate::cache::entry::{CHUNK, Content, Meta};
use crate::cache::fill::Intake;
use crate::origin::OriginError;
use crate::respond::body::AssetBody;
use crate::respond::coding::Coding;

impl Filling {
    /// Runs until the form is complete: read from disk if it is there, made from the plain `source` if
    /// not. It is kept if the source still `is_current` at the end.
    pub(crate) async fn code(
        self,
        coding: Coding,
        source: AssetBody,
        meta: Meta,
        is_current: impl Fn() -> bool,
    ) {
        let mut intake = Intake::new(&self.fill);
        let keep = match self.read_from_disk(&mut intake).await {
            true => Keep::InMemoryOnly,
            false if self.make(&mut intake, coding, source).await => Keep::OnDiskToo,
            false => return,
        };
        if !is_current() {
            self.fill.discard();
        }
        let meta = Arc::new(meta.with_length(Some(intake.arrived())));
        self.keep_in_memory(&mut intake, meta, keep).await;
    }

    /// Whether the form was there, all of it.
    async fn read_from_disk(&self, intake: &mut Intake<'_>) -> bool {
        let Some(entry) = self.cache.open_from_disk(&self.key).await else {
            return false;
        };
        let Content::Disk(object) = &entry.content else {
            return false;
        };
        while intake.arrived() < object.length() {
            let (file, at) = (object.clone(), intake.arrived());
            match spawn_blocking(move || file.read(at, CHUNK)).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => self.push(intake, bytes),
                Ok(Err(error)) => {
                    self.cache
                        .drop_unreadable(self.key.as_str(), object, &error);
                    return false;
                }
                _ => return false,
            }
        }
        true
    }

    /// Codes the source, and leaves out what has come from disk before that failed: the coded bytes of a
    /// version are always the same.
    async fn make(&self, intake: &mut Intake<'_>, coding: Coding, source: AssetBody) -> bool {
        let broken = |error: &str| self.broken(&OriginError::Body(error.into()));
        let mut body = match source.coded(coding) {
            Ok(body) => body,
            Err(error) => return broken(&error.to_string()),
        };
        self.cache.metrics.coded.inc();
        let mut known = intake.arrived();
        while let Some(piece) = poll_fn(|cx| body.poll_piece(cx)).await {
            let mut piece = match piece {
                Ok(piece) => piece,
                Err(error) => return broken(&error.to_string()),
            };
            let skipped = known.min(piece.len() as u64);
            piece.advance(skipped as usize);
            known -= skipped;
            self.push(intake, piece);
        }
        true
    }

    fn push(&self, intake: &mut Intake<'_>, mut bytes: Bytes) {
        while !bytes.is_empty() {
            bytes = intake.push(bytes).map_or_else(Bytes::new, |(_, rest)| rest);
        }
    }
}
