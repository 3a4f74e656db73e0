//! Bodies on their way through: streamed frame by frame, never collected.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use asset_server::AssetBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body on its way to an upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// Made here. `None` once it is sent.
    Full(Option<Bytes>),
    /// The client's.
    Streaming(Streaming),
}

/// A client's body that comes back to the request if nobody has read from it.
#[derive(Debug)]
pub struct Streaming {
    body: Option<Incoming>,
    touched: bool,
    source: Arc<Mutex<Option<Incoming>>>,
    sent: CancellationToken,
}

/// Where attempts at a request take its body from.
#[derive(Debug)]
pub(super) enum Source {
    Empty,
    /// `None` once an attempt has read from it.
    Client(Arc<Mutex<Option<Incoming>>>),
}

impl Source {
    pub(super) fn new(body: Incoming) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else {
            Self::Client(Arc::new(Mutex::new(Some(body))))
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether another attempt could send all of it.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some(),
        }
    }

    /// The body for one attempt, with a token that is cancelled once it is all sent or given up.
    pub(super) fn attempt(&self) -> Option<(RequestBody, CancellationToken)> {
        let sent = CancellationToken::new();
        let Self::Client(source) = self else {
            sent.cancel();
            return Some((RequestBody::Empty, sent));
        };
        let body = source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let streaming = Streaming {
            body: Some(body),
            touched: false,
            source: source.clone(),
            sent: sent.clone(),
        };
        Some((RequestBody::Streaming(streaming), sent))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if !self.touched {
            *self.source.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
        self.sent.cancel();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streaming(streaming) => {
                streaming.touched = true;
                match &mut streaming.body {
                    Some(body) => Pin::new(body).poll_frame(cx),
                    None => Poll::Ready(None),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Streaming(streaming) => streaming.body.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(Streaming {
                body: Some(body), ..
            }) => body.size_hint(),
            Self::Full(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::with_exact(0),
        }
    }
}

/// A response body that ends with an error when it falls silent for too long.
#[derive(Debug)]
pub struct IdleBody {
    body: Incoming,
    idle: Duration,
    /// Runs only while a frame is waited for.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl IdleBody {
    /// `body`, with at most `idle` between two frames.
    pub fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            body,
            idle,
            silence: None,
            waiting: false,
        }
    }
}

/// A response body fell silent.
#[derive(Debug, thiserror::Error)]
#[error("the upstream sent nothing for {0:?} (idle timeout)")]
pub struct IdleTimeout(Duration);

impl Body for IdleBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let silence = this
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if !this.waiting {
            this.waiting = true;
            silence.as_mut().reset(Instant::now() + idle);
        }
        std::task::ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(IdleTimeout(idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of any response of ours.
#[derive(Debug)]
pub enum ResponseBody {
    /// Made here. `None` once it is sent.
    Full(Option<Bytes>),
    /// From the asset server in this process.
    Asset(AssetBody),
    /// From an upstream or another region.
    Forwarded(IdleBody),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Asset(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Forwarded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Asset(body) => body.is_end_stream(),
            Self::Forwarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Asset(body) => body.size_hint(),
            Self::Forwarded(body) => body.size_hint(),
        }
    }
}
