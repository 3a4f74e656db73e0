//! Where the pieces of a streamed body come from: a fill in progress, a file of the disk tier, an
//! origin, or several ranges one after the other.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use prometheus::IntCounter;
use tokio::sync::futures::OwnedNotified;
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::{AssetBody, AssetBodyError, Pieces};
use crate::cache::Cache;
use crate::cache::disk::{DiskObject, Read, ReadError};
use crate::cache::entry::{CHUNK, Meta};
use crate::cache::fill::{Break, Fill, Step};
use crate::cache::key::CacheKey;
use crate::mount::Mount;
use crate::origin::{Asked, OriginBody, OriginError};

type Piece = Option<Result<Bytes, AssetBodyError>>;

/// What is needed to go on when a file fails under a reader: the same version from the origin.
pub(crate) struct Resume {
    pub(crate) cache: Arc<Cache>,
    pub(crate) mount: Arc<Mount>,
    pub(crate) key: CacheKey,
    pub(crate) asked: Arc<Asked>,
    pub(crate) meta: Arc<Meta>,
}

/// A reader that goes on with the origin when its file fails.
pub(crate) struct Resuming<S> {
    source: S,
    at: u64,
    end: Option<u64>,
    resume: Arc<Resume>,
    rest: Rest,
}

enum Rest {
    NotNeeded,
    Asked(BoxFuture<'static, Result<OriginBody, OriginError>>),
    Flowing(OriginBody),
}

/// A source that can be read at an offset.
pub(crate) trait Source: Send {
    /// The next piece at `at`; `Err` says whether the origin can help.
    fn poll_at(
        &mut self,
        at: u64,
        resume: &Resume,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Break>>>;
}

impl<S: Source> Resuming<S> {
    /// Reads `range`; to the end, wherever that is, if it has none.
    pub(crate) fn new(source: S, start: u64, end: Option<u64>, resume: Arc<Resume>) -> Self {
        Self {
            source,
            at: start,
            end,
            resume,
            rest: Rest::NotNeeded,
        }
    }
}

impl<S: Source> Pieces for Resuming<S> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        loop {
            match &mut self.rest {
                Rest::NotNeeded => match ready!(self.source.poll_at(self.at, &self.resume, cx)) {
                    Some(Ok(piece)) => {
                        self.at += piece.len() as u64;
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    None => return Poll::Ready(None),
                    Some(Err(Break::Origin)) => {
                        return Poll::Ready(Some(Err(AssetBodyError::Origin)));
                    }
                    Some(Err(Break::Disk)) => {
                        let Some(end) = self.end else {
                            return Poll::Ready(Some(Err(AssetBodyError::Storage)));
                        };
                        let (resume, range) = (self.resume.clone(), self.at..end);
                        self.rest = Rest::Asked(Box::pin(async move {
                            let Resume {
                                mount,
                                key,
                                asked,
                                meta,
                                ..
                            } = &*resume;
                            mount.rest_of(key, asked, meta, range).await
                        }));
                    }
                },
                Rest::Asked(asked) => match ready!(asked.as_mut().poll(cx)) {
                    Ok(body) => self.rest = Rest::Flowing(body),
                    Err(error) => {
                        tracing::warn!(key = self.resume.key.as_str(), %error, "a damaged object cannot be completed");
                        return Poll::Ready(Some(Err(AssetBodyError::Storage)));
                    }
                },
                Rest::Flowing(body) => return poll_origin(body, cx),
            }
        }
    }
}

fn poll_origin(body: &mut OriginBody, cx: &mut Context<'_>) -> Poll<Piece> {
    body.as_mut()
        .poll_next(cx)
        .map(|piece| piece.map(|piece| piece.map_err(|_| AssetBodyError::Origin)))
}

// === a fill in progress ===

/// Reads a fill as it grows. Nothing polls a clock: the fill wakes it.
pub(crate) struct FillSource {
    fill: Arc<Fill>,
    sent: IntCounter,
    woken: Option<Pin<Box<OwnedNotified>>>,
    reading: Option<JoinHandle<Result<Bytes, ReadError>>>,
}

impl FillSource {
    pub(crate) fn new(fill: Arc<Fill>, sent: IntCounter) -> Self {
        Self {
            fill,
            sent,
            woken: None,
            reading: None,
        }
    }
}

impl Source for FillSource {
    fn poll_at(
        &mut self,
        at: u64,
        resume: &Resume,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Break>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                return Poll::Ready(Some(match read {
                    Ok(Ok(bytes)) => {
                        self.sent.inc_by(bytes.len() as u64);
                        Ok(bytes)
                    }
                    Ok(Err(error)) => {
                        resume.cache.metrics.disk_errors.inc();
                        tracing::warn!(key = resume.key.as_str(), %error, "a file being filled cannot be read");
                        Err(Break::Disk)
                    }
                    Err(_) => Err(Break::Disk),
                }));
            }
            match self.fill.step(at) {
                Step::Bytes(bytes) => {
                    self.sent.inc_by(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Step::File(read) => self.reading = Some(spawn_blocking(move || read.run())),
                Step::End => return Poll::Ready(None),
                Step::Broken(why) => return Poll::Ready(Some(Err(why))),
                // The second look comes after registering, so that what arrives in between wakes us.
                Step::Wait => match &mut self.woken {
                    None => self.woken = Some(Box::pin(self.fill.progress().notified_owned())),
                    Some(woken) => {
                        ready!(woken.as_mut().poll(cx));
                        self.woken = None;
                    }
                },
            }
        }
    }
}

// === a file of the disk tier ===

/// Reads a complete file in units of [`CHUNK`]: on the spot what the page cache has, in a blocking
/// thread what the device must give.
pub(crate) struct DiskSource {
    object: Arc<DiskObject>,
    end: u64,
    sent: IntCounter,
    waiting: Option<JoinHandle<Result<Bytes, ReadError>>>,
    /// A piece was read on the spot, so it is others' turn.
    had_turn: bool,
}

impl DiskSource {
    pub(crate) fn new(object: Arc<DiskObject>, end: u64, sent: IntCounter) -> Self {
        object.touch();
        Self {
            object,
            end,
            sent,
            waiting: None,
            had_turn: false,
        }
    }

    fn poll_read(
        &mut self,
        at: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.waiting.is_none() {
            if std::mem::take(&mut self.had_turn) {
                // One piece takes some fifty microseconds. A reader whose socket always has room would
                // keep its thread for the whole file.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // The first read ends where a unit does, so that all later ones are whole blocks.
            let count = ((CHUNK as u64 - at % CHUNK as u64).min(self.end - at)) as usize;
            match self.object.read_now(at, count, self.end) {
                Read::Done(read) => {
                    self.had_turn = true;
                    return Poll::Ready(Some(read));
                }
                Read::Waits(rest) => self.waiting = Some(spawn_blocking(move || rest.finish())),
            }
        }
        let Some(waiting) = &mut self.waiting else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(waiting).poll(cx));
        self.waiting = None;
        Poll::Ready(read.ok())
    }
}

impl Source for DiskSource {
    fn poll_at(
        &mut self,
        at: u64,
        resume: &Resume,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Break>>> {
        if at >= self.end {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.poll_read(at, cx)) {
            Some(Ok(bytes)) => {
                self.sent.inc_by(bytes.len() as u64);
                Ok(bytes)
            }
            Some(Err(error)) => {
                resume
                    .cache
                    .drop_unreadable(resume.key.as_str(), &self.object, &error);
                Err(Break::Disk)
            }
            None => Err(Break::Disk),
        }))
    }
}

// === an origin, passed through ===

/// An answer that is not kept.
pub(crate) struct OriginPieces {
    body: OriginBody,
    sent: IntCounter,
}

impl OriginPieces {
    pub(crate) fn new(body: OriginBody, sent: IntCounter) -> Self {
        Self { body, sent }
    }
}

impl Pieces for OriginPieces {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let piece = ready!(poll_origin(&mut self.body, cx));
        if let Some(Ok(bytes)) = &piece {
            self.sent.inc_by(bytes.len() as u64);
        }
        Poll::Ready(piece)
    }
}

// === several ranges ===

/// The parts of a `multipart/byteranges` body, each begun only when the one before has ended.
pub(crate) struct Multipart<F> {
    parts: VecDeque<(Bytes, Range<u64>)>,
    open: F,
    current: AssetBody,
    trailer: Option<Bytes>,
}

impl<F: FnMut(Range<u64>) -> AssetBody + Send> Multipart<F> {
    pub(crate) fn new(parts: VecDeque<(Bytes, Range<u64>)>, trailer: Bytes, open: F) -> Self {
        Self {
            parts,
            open,
            current: AssetBody::empty(),
            trailer: Some(trailer),
        }
    }
}

impl<F: FnMut(Range<u64>) -> AssetBody + Send> Pieces for Multipart<F> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(piece) = ready!(self.current.poll_piece(cx)) {
            return Poll::Ready(Some(piece));
        }
        Poll::Ready(match self.parts.pop_front() {
            Some((head, range)) => {
                self.current = (self.open)(range);
                Some(Ok(head))
            }
            None => self.trailer.take().map(Ok),
        })
    }
}
