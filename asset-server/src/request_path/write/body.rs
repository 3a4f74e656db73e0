//! The body of a write as a stream: no longer than allowed, not stalled, and never mistaken for whole
//! when the client has left.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;

use crate::origin::{RequestBody, Source};

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Nobody waits for the answer any more.
    #[error("the client has left")]
    Gone,
    /// The connection broke, or what it carries is no body.
    #[error("{0}")]
    Broken(#[source] Source),
    /// Nothing came for too long.
    #[error("it has stalled")]
    Stalled,
    /// More than is allowed.
    #[error("it is too large")]
    TooLarge,
    /// It is no form, or not one that is taken.
    #[error("{0}")]
    Form(&'static str),
}

/// Pieces on their way in.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, BodyError>>;

/// At most `limit` bytes of a body, with pauses of at most `idle`. `gone` is cancelled when nobody waits
/// for the answer: a connection that was dropped may look like one that has ended.
pub(super) fn pieces(
    body: RequestBody,
    limit: u64,
    idle: Duration,
    gone: CancellationToken,
) -> Pieces {
    try_unfold(
        (body, limit, gone),
        move |(mut body, left, gone)| async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    () = gone.cancelled() => return Err(BodyError::Gone),
                    frame = tokio::time::timeout(idle, body.frame()) => frame,
                };
                let frame = match frame {
                    Err(_) => return Err(BodyError::Stalled),
                    Ok(Some(Err(error))) => return Err(BodyError::Broken(error)),
                    Ok(None) if gone.is_cancelled() => return Err(BodyError::Gone),
                    Ok(None) => return Ok(None),
                    Ok(Some(Ok(frame))) => frame,
                };
                // Trailers say nothing that is used here.
                let Ok(piece) = frame.into_data() else {
                    continue;
                };
                if piece.is_empty() {
                    continue;
                }
                return match left.checked_sub(piece.len() as u64) {
                    Some(left) => Ok(Some((piece, (body, left, gone)))),
                    None => Err(BodyError::TooLarge),
                };
            }
        },
    )
    .boxed()
}
