//! Cutting a stream of pieces into parts of a size, counted and checked on the way.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use super::UploadError;
use crate::origin::Source;
use crate::store::digest::{Checker, Expected};

pub(crate) struct Cut<S> {
    body: S,
    /// Read, and not yet part of a part.
    rest: Bytes,
    over: bool,
    announced: Option<u64>,
    received: u64,
    checker: Checker,
}

impl<S, E> Cut<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Source>,
{
    pub(crate) fn new(body: S, announced: Option<u64>, expected: &Expected) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            over: false,
            announced,
            received: 0,
            checker: Checker::new(expected),
        }
    }

    /// The next `size` bytes; fewer at the end.
    pub(crate) async fn next(&mut self, size: u64) -> Result<Bytes, UploadError> {
        let left = self.announced.map_or(size, |n| {
            n.saturating_sub(self.received) + self.rest.len() as u64
        });
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut part = BytesMut::with_capacity(size.min(usize::try_from(left).unwrap_or(size)));
        while part.len() < size && self.fill().await? {
            let count = self.rest.len().min(size - part.len());
            part.extend_from_slice(&self.rest.split_to(count));
        }
        Ok(part.freeze())
    }

    /// Whether nothing comes any more.
    pub(crate) async fn is_over(&mut self) -> Result<bool, UploadError> {
        Ok(!self.fill().await?)
    }

    /// At the end: length and checksums.
    pub(crate) fn finish(self) -> Result<u64, UploadError> {
        self.judge_length(|announced, received| announced != received)?;
        self.checker.finish()?;
        Ok(self.received)
    }

    /// Whether there is something in `rest`, after reading if need be.
    async fn fill(&mut self) -> Result<bool, UploadError> {
        while self.rest.is_empty() && !self.over {
            match self.body.next().await {
                Some(Ok(piece)) => {
                    self.checker.update(&piece);
                    self.received += piece.len() as u64;
                    self.judge_length(|announced, received| received > announced)?;
                    self.rest = piece;
                }
                Some(Err(error)) => return Err(UploadError::Body(error.into())),
                None => self.over = true,
            }
        }
        Ok(!self.rest.is_empty())
    }

    fn judge_length(&self, wrong: impl Fn(u64, u64) -> bool) -> Result<(), UploadError> {
        match self.announced {
            Some(announced) if wrong(announced, self.received) => Err(UploadError::Length {
                announced,
                received: self.received,
            }),
            _ => Ok(()),
        }
    }
}
