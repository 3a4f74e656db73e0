//! A body that is coded while it flows.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Coding;
use super::encoder::Encoder;
use crate::respond::body::{AssetBody, AssetBodyError, Pieces};

/// Steps up to this many bytes are coded where they are; a thread would cost more than the work.
const INLINE: usize = 8 << 10;

type Stepped = io::Result<(Option<Box<Encoder>>, Vec<u8>)>;

/// The coded form of another body. Steps are coded on the blocking threads, one at a time, and only when
/// the reader asks for more: a slow client holds one step, not an object.
pub(crate) struct CodedPieces {
    source: AssetBody,
    /// Of the source, not yet part of a step.
    rest: Bytes,
    /// The next step, until it is full.
    chunk: Vec<u8>,
    state: State,
}

enum State {
    Collecting(Box<Encoder>),
    Coding(JoinHandle<Stepped>),
    Ended,
}

impl CodedPieces {
    /// The coded form of all of `source`.
    pub(crate) fn new(source: AssetBody, coding: Coding) -> io::Result<Self> {
        Ok(Self {
            source,
            rest: Bytes::new(),
            chunk: Vec::new(),
            state: State::Collecting(Box::new(Encoder::new(coding)?)),
        })
    }

    /// Moves bytes from the source into the next step; `true` at the end of the source.
    fn poll_chunk(
        &mut self,
        wants: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, AssetBodyError>> {
        while self.chunk.len() < wants {
            if self.rest.is_empty() {
                match ready!(self.source.poll_piece(cx)) {
                    Some(piece) => self.rest = piece?,
                    None => return Poll::Ready(Ok(true)),
                }
            }
            let count = self.rest.len().min(wants - self.chunk.len());
            self.chunk.extend_from_slice(&self.rest[..count]);
            self.rest.advance(count);
        }
        Poll::Ready(Ok(false))
    }
}

impl Pieces for CodedPieces {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AssetBodyError>>> {
        loop {
            let stepped = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Collecting(encoder) => {
                    let last = match self.poll_chunk(encoder.wants(), cx) {
                        Poll::Ready(Ok(last)) => last,
                        Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                        Poll::Pending => {
                            self.state = State::Collecting(encoder);
                            return Poll::Pending;
                        }
                    };
                    let chunk = std::mem::take(&mut self.chunk);
                    if chunk.len() > INLINE {
                        let coding = spawn_blocking(move || step(encoder, &chunk, last));
                        self.state = State::Coding(coding);
                        continue;
                    }
                    step(encoder, &chunk, last)
                }
                State::Coding(mut coding) => match Pin::new(&mut coding).poll(cx) {
                    Poll::Ready(stepped) => stepped.unwrap_or_else(|e| Err(io::Error::other(e))),
                    Poll::Pending => {
                        self.state = State::Coding(coding);
                        return Poll::Pending;
                    }
                },
            };
            match stepped {
                Ok((encoder, coded)) => {
                    self.state = encoder.map_or(State::Ended, State::Collecting);
                    if !coded.is_empty() {
                        return Poll::Ready(Some(Ok(Bytes::from(coded))));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "an object cannot be coded");
                    return Poll::Ready(Some(Err(AssetBodyError::Coding)));
                }
            }
        }
    }
}

/// One step, and the end if it is the last; the encoder comes back if there is more to do.
fn step(mut encoder: Box<Encoder>, chunk: &[u8], last: bool) -> Stepped {
    let mut coded = encoder.step(chunk)?;
    if !last {
        return Ok((Some(encoder), coded));
    }
    coded.extend(encoder.finish()?);
    Ok((None, coded))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    use super::super::encoder::tests::{decoded, encoded, text};
    use super::*;

    /// Pieces as they come from a network: of any length, not always ready, and perhaps cut off.
    struct Arriving(VecDeque<Option<Result<Bytes, AssetBodyError>>>);

    impl Pieces for Arriving {
        fn poll_piece(
            &mut self,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, AssetBodyError>>> {
            match self.0.pop_front() {
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Some(piece)) => Poll::Ready(Some(piece)),
                None => Poll::Ready(None),
            }
        }
    }

    fn read(source: Arriving, coding: Coding) -> Result<Vec<u8>, AssetBodyError> {
        let source = AssetBody::stream(Box::new(source), None);
        let coded = CodedPieces::new(source, coding).expect("an encoder");
        let body = AssetBody::stream(Box::new(coded), None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let collected = runtime.block_on(body.collect())?;
        Ok(collected.to_bytes().to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn however_an_object_arrives_its_coded_bytes_are_the_same(cuts in proptest::collection::vec(1usize..100_000, 1..8), which in 0usize..3, slow in any::<bool>()) {
            let coding = Coding::ALL[which];
            let object = text(200_000);
            let (mut pieces, mut rest, mut cut) = (VecDeque::new(), &object[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cut.next().expect("a cycle")).min(rest.len()));
                if slow {
                    pieces.push_back(None);
                }
                pieces.push_back(Some(Ok(Bytes::copy_from_slice(now))));
                rest = later;
            }
            let coded = read(Arriving(pieces), coding).expect("no error");
            prop_assert!(coded == encoded(coding, &object));
            prop_assert!(decoded(coding, &coded) == object);
        }
    }

    #[test]
    fn a_source_that_breaks_off_breaks_the_coded_body_too() {
        for coding in Coding::ALL {
            let pieces = [
                Some(Ok(Bytes::from(text(100_000)))),
                None,
                Some(Err(AssetBodyError::Origin)),
            ];
            let outcome = read(Arriving(pieces.into()), coding);
            assert!(matches!(outcome, Err(AssetBodyError::Origin)), "{coding:?}");
        }
    }
}
