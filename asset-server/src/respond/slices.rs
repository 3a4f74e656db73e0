//! A body out of slices: one after the other, with the next ones fetched meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::body::{AssetBody, AssetBodyError, Pieces};
use super::pieces::{DiskSource, FillSource, OriginPieces, Resume, Resuming};
use crate::cache::entry::Content;
use crate::cache::slice::ReadAhead;
use crate::cache::sliced::{Slice, Sliced};
use crate::origin::OriginError;

/// How often the origin is asked again for the rest of a slice that broke off.
const SECOND_TRIES: u32 = 2;

/// Reads a range of an object in slices.
pub(super) struct SliceReader {
    sliced: Arc<Sliced>,
    at: u64,
    end: u64,
    ahead: ReadAhead,
    state: State,
    tries: u32,
}

enum State {
    /// The slice with the next byte is wanted.
    Next,
    /// It is being found.
    Opening(BoxFuture<'static, Result<AssetBody, Arc<OriginError>>>),
    /// It is read.
    Reading(AssetBody),
}

impl SliceReader {
    /// `first` is the slice that was opened before the response began.
    pub(super) fn new(sliced: Arc<Sliced>, range: Range<u64>, first: Option<(u64, Slice)>) -> Self {
        let mut reader = Self {
            at: range.start,
            end: range.end,
            ahead: ReadAhead::new(sliced.slicing.read_ahead),
            state: State::Next,
            tries: SECOND_TRIES,
            sliced,
        };
        let index = reader.sliced.slicing.index_of(reader.at);
        if let Some((_, slice)) =
            first.filter(|(first, _)| *first == index && reader.at < reader.end)
        {
            reader.fetch_ahead(index);
            reader.state = match body(&reader.sliced, &slice, reader.wanted(index)) {
                Some(body) => State::Reading(body),
                None => State::Opening(rest(reader.sliced.clone(), reader.at)),
            };
        }
        reader
    }

    /// The bytes that are wanted of a slice.
    fn wanted(&self, index: u64) -> Range<u64> {
        let slice = self.sliced.slicing.range_of(index, self.end.max(self.at));
        self.at..slice.end.min(self.end)
    }

    fn fetch_ahead(&self, current: u64) {
        let spare = self.sliced.subject.mount.origin.spare();
        for index in self
            .ahead
            .slices(current, self.sliced.last(self.end), spare)
        {
            self.sliced.fetch_ahead(index);
        }
    }

    fn open(&mut self) -> BoxFuture<'static, Result<AssetBody, Arc<OriginError>>> {
        let index = self.sliced.slicing.index_of(self.at);
        self.fetch_ahead(index);
        let (sliced, wanted) = (self.sliced.clone(), self.wanted(index));
        Box::pin(async move {
            let slice = sliced.open(index).await?;
            match body(&sliced, &slice, wanted.clone()) {
                Some(body) => Ok(body),
                None => rest(sliced, wanted.start).await,
            }
        })
    }
}

/// A slice's bytes in `wanted`, which are counted from the start of the object. `None` if only the
/// origin has them.
fn body(sliced: &Arc<Sliced>, slice: &Slice, wanted: Range<u64>) -> Option<AssetBody> {
    let index = sliced.slicing.index_of(wanted.start);
    let start = index * sliced.slicing.size;
    let range = wanted.start - start..wanted.end - start;
    let count = range.end - range.start;
    let metrics = &sliced.cache.metrics;
    match slice {
        Slice::Stored(entry) => match &entry.content {
            Content::Memory(chunks) => {
                metrics.memory_bytes.inc_by(count);
                Some(AssetBody::chunks(chunks, range))
            }
            Content::Disk(object) => {
                let source = DiskSource::new(object.clone(), range.end, metrics.disk_bytes.clone());
                Some(resuming(sliced, index, source, range))
            }
        },
        Slice::Arriving(fill) => {
            let source = FillSource::new(fill.clone(), metrics.origin_bytes.clone());
            Some(resuming(sliced, index, source, range))
        }
        Slice::Passing => None,
    }
}

/// What goes wrong within a slice is mended by [`SliceReader`], which knows its place in the object.
fn resuming<S: super::pieces::Source + 'static>(
    sliced: &Arc<Sliced>,
    index: u64,
    source: S,
    range: Range<u64>,
) -> AssetBody {
    let resume = Resume {
        cache: sliced.cache.clone(),
        mount: sliced.subject.mount.clone(),
        key: sliced.key_of(index),
        asked: sliced.subject.asked.clone(),
        meta: sliced.meta.clone(),
    };
    let count = range.end - range.start;
    // No end: without one it does not ask the origin itself, whose offsets are not a slice's.
    let pieces = Resuming::new(source, range.start, None, Arc::new(resume));
    AssetBody::stream(Box::new(pieces), Some(count))
}

/// The rest of a slice from the origin, for this reader alone.
fn rest(sliced: Arc<Sliced>, at: u64) -> BoxFuture<'static, Result<AssetBody, Arc<OriginError>>> {
    Box::pin(async move {
        let body = sliced.rest(at).await.map_err(Arc::new)?;
        let pieces = OriginPieces::new(body, sliced.cache.metrics.origin_bytes.clone());
        Ok(AssetBody::stream(Box::new(pieces), None))
    })
}

impl Pieces for SliceReader {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AssetBodyError>>> {
        loop {
            match &mut self.state {
                State::Next if self.at >= self.end => return Poll::Ready(None),
                State::Next => self.state = State::Opening(self.open()),
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(body) => self.state = State::Reading(body),
                    Err(error) => {
                        let key = self.sliced.key.as_str();
                        tracing::warn!(key, at = self.at, %error, "a large object cannot be read on");
                        // Whoever comes next must not meet the same dead end.
                        if matches!(*error, OriginError::Changed) {
                            self.sliced.cache.forget(&self.sliced.key);
                        }
                        return Poll::Ready(Some(Err(AssetBodyError::Origin)));
                    }
                },
                State::Reading(body) => match ready!(body.poll_piece(cx)) {
                    Some(Ok(mut piece)) => {
                        let left = self.end - self.at;
                        piece.truncate(left.min(piece.len() as u64) as usize);
                        self.at += piece.len() as u64;
                        if !piece.is_empty() || left == 0 {
                            return Poll::Ready(Some(Ok(piece)));
                        }
                    }
                    None => {
                        self.ahead.advance();
                        self.state = State::Next;
                        if self.at < self.end {
                            // A body yields after each piece, so that others have their turn, but for
                            // its last.
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    }
                    Some(Err(_)) if self.tries > 0 => {
                        self.tries -= 1;
                        self.state = State::Opening(rest(self.sliced.clone(), self.at));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}
