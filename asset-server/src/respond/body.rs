//! The body of a response: bytes in memory without any indirection, everything else behind one box.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::coding::Coding;
use super::coding::pieces::CodedPieces;
use crate::cache::entry::CHUNK;

/// A response body. Cached bytes are shared with the cache, never copied.
#[derive(Default)]
pub struct AssetBody(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Chunks {
        chunks: Arc<[Bytes]>,
        range: Range<u64>,
    },
    Stream {
        pieces: Box<dyn Pieces>,
        left: Option<u64>,
    },
}

/// Why a body ends before its announced end. The connection is then cut, never ended cleanly.
#[derive(Debug, thiserror::Error)]
pub enum AssetBodyError {
    /// The origin failed while its answer was passed on.
    #[error("the origin failed in the middle of the object")]
    Origin,
    /// The object is damaged on disk, and the origin cannot give the rest.
    #[error("the object cannot be read to its end")]
    Storage,
    /// The encoder failed.
    #[error("the object cannot be coded")]
    Coding,
}

/// Bytes that have to be waited for, in order.
pub(crate) trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AssetBodyError>>>;
}

impl AssetBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// These bytes.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Whole(bytes))
        }
    }

    /// A range of an object in memory; its pieces are [`CHUNK`] bytes long but for the last.
    pub(crate) fn chunks(chunks: &Arc<[Bytes]>, range: Range<u64>) -> Self {
        let index = (range.start / CHUNK as u64) as usize;
        let base = index as u64 * CHUNK as u64;
        match chunks.get(index) {
            _ if range.is_empty() => Self::empty(),
            Some(chunk) if range.end - base <= chunk.len() as u64 => Self(Kind::Whole(
                chunk.slice((range.start - base) as usize..(range.end - base) as usize),
            )),
            _ => Self(Kind::Chunks {
                chunks: chunks.clone(),
                range,
            }),
        }
    }

    /// Pieces of `left` bytes together, if that is known.
    pub(crate) fn stream(pieces: Box<dyn Pieces>, left: Option<u64>) -> Self {
        Self(Kind::Stream { pieces, left })
    }

    /// The coded form of this body, whose length nobody knows before its end.
    pub fn coded(self, coding: Coding) -> std::io::Result<Self> {
        let pieces = CodedPieces::new(self, coding)?;
        Ok(Self::stream(Box::new(pieces), None))
    }

    /// The next piece. All kinds in one place, for the frames of a response and the parts of a
    /// multipart one alike.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, AssetBodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(bytes)))
            }
            Kind::Chunks { chunks, range } => {
                let Some(chunk) = chunks
                    .get((range.start / CHUNK as u64) as usize)
                    .filter(|_| !range.is_empty())
                else {
                    return Poll::Ready(None);
                };
                let from = (range.start % CHUNK as u64) as usize;
                let count = ((chunk.len() - from) as u64).min(range.end - range.start);
                range.start += count;
                Poll::Ready(Some(Ok(chunk.slice(from..from + count as usize))))
            }
            Kind::Stream { left: Some(0), .. } => {
                self.0 = Kind::Empty;
                Poll::Ready(None)
            }
            Kind::Stream { pieces, left } => match std::task::ready!(pieces.poll_piece(cx)) {
                Some(Ok(mut piece)) => {
                    if let Some(left) = left {
                        piece.truncate((*left).min(piece.len() as u64) as usize);
                        *left -= piece.len() as u64;
                    }
                    Poll::Ready(Some(Ok(piece)))
                }
                None if left.is_none() => {
                    self.0 = Kind::Empty;
                    Poll::Ready(None)
                }
                // Never a clean end before the announced one.
                None => {
                    self.0 = Kind::Empty;
                    Poll::Ready(Some(Err(AssetBodyError::Origin)))
                }
                Some(Err(error)) => {
                    self.0 = Kind::Empty;
                    Poll::Ready(Some(Err(error)))
                }
            },
        }
    }
}

impl Body for AssetBody {
    type Data = Bytes;
    type Error = AssetBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AssetBodyError>>> {
        self.get_mut()
            .poll_piece(cx)
            .map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Chunks { range, .. } => range.is_empty(),
            Kind::Stream { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Chunks { range, .. } => SizeHint::with_exact(range.end - range.start),
            Kind::Stream {
                left: Some(left), ..
            } => SizeHint::with_exact(*left),
            Kind::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for AssetBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssetBody")
            .field("size", &self.size_hint().exact())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_range_of_chunks_gives_its_own_bytes(length in 0usize..3 * CHUNK, a in 0usize..3 * CHUNK, b in 0usize..3 * CHUNK) {
            let object: Vec<u8> = (0..length).map(|i| (i / 7) as u8).collect();
            let chunks: Arc<[Bytes]> = object.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
            let (start, end) = (a.min(b).min(length), a.max(b).min(length));
            let body = AssetBody::chunks(&chunks, start as u64..end as u64);
            prop_assert_eq!(body.size_hint().exact(), Some((end - start) as u64));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let got = runtime.block_on(body.collect()).expect("no error").to_bytes();
            prop_assert!(got == object[start..end]);
        }
    }
}
