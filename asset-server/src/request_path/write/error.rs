//! Why a write does not happen, and what the client is told. What the store says is for the log.

use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::body::BodyError;
use crate::cache::key::KeyError;
use crate::store::digest::DigestError;
use crate::store::{StoreError, UploadError};

/// Why a write does not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No `Authorization: Bearer`.
    #[error("writing needs a token: Authorization: Bearer TOKEN")]
    TokenMissing,
    /// Another token.
    #[error("the token is not the one for writing here")]
    TokenWrong,
    /// A method that writes nothing.
    #[error("only GET, HEAD, PUT, POST and DELETE are served here")]
    Method,
    /// The path can be no object's.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request makes no sense.
    #[error("{0}")]
    Request(&'static str),
    /// It makes sense, and is not done here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A part of unknown length.
    #[error("a part needs Content-Length")]
    LengthRequired,
    /// More than the mount takes.
    #[error("the object is larger than {0} bytes, which is the most that is taken here")]
    TooLarge(u64),
    /// The client has paused for too long.
    #[error("the body has stalled")]
    Stalled,
    /// The form is not as it should be.
    #[error("{0}")]
    Form(&'static str),
    /// The store does not take these parts.
    #[error("the store does not take these parts: {0}")]
    Parts(String),
    /// Body or store.
    #[error("{}", told(.0))]
    Upload(UploadError),
}

impl WriteError {
    /// As [`crate::Error::verdict`].
    pub(crate) fn verdict(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        let (status, reason) = match self {
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "token_missing"),
            Self::TokenWrong => (StatusCode::FORBIDDEN, "token_wrong"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Key(error) => (StatusCode::BAD_REQUEST, error.reason()),
            Self::Request(_) => (StatusCode::BAD_REQUEST, "bad_write"),
            Self::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
            Self::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length_required"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Stalled => (StatusCode::REQUEST_TIMEOUT, "body_stalled"),
            Self::Form(_) => (StatusCode::BAD_REQUEST, "bad_form"),
            Self::Parts(_) => (StatusCode::BAD_REQUEST, "bad_parts"),
            Self::Upload(error) => error.verdict(),
        };
        let proxy_error = status.is_server_error() && matches!(self, Self::Upload(_));
        (
            status,
            reason,
            proxy_error.then_some("destination_unavailable"),
        )
    }

    /// How long a client had better wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upload(UploadError::Store(StoreError::SlowDown)) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Adds the headers that go with it.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::TokenMissing => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method => {
                let methods = HeaderValue::from_static("GET, HEAD, PUT, POST, DELETE");
                headers.insert(ALLOW, methods);
            }
            _ => {}
        }
    }

    /// Whether the store may have done it all the same: its answer was lost, or is the answer to a
    /// second attempt (then a condition does not hold, or an upload is gone, because of the first).
    pub(super) fn may_be_done(&self) -> bool {
        matches!(self, Self::Upload(UploadError::Store(_)) | Self::Parts(_))
    }

    /// Sorts out what a body of ours broke off with.
    pub(super) fn of(error: UploadError, max_size: u64) -> Self {
        let UploadError::Body(source) = error else {
            return Self::Upload(error);
        };
        match source.downcast::<BodyError>() {
            Ok(error) => Self::of_body(*error, max_size),
            Err(source) => Self::Upload(UploadError::Body(source)),
        }
    }

    pub(super) fn of_body(error: BodyError, max_size: u64) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge(max_size),
            BodyError::Stalled => Self::Stalled,
            BodyError::Form(what) => Self::Form(what),
            error @ (BodyError::Gone | BodyError::Broken(_)) => {
                Self::Upload(UploadError::Body(error.into()))
            }
        }
    }
}

impl From<DigestError> for WriteError {
    fn from(error: DigestError) -> Self {
        Self::Upload(error.into())
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Upload(error.into())
    }
}

fn told(error: &UploadError) -> String {
    match error {
        UploadError::Body(_) => "the body broke off".into(),
        UploadError::Store(StoreError::Precondition | StoreError::Changed) => {
            "the object is not as the condition says".into()
        }
        UploadError::Store(
            error @ (StoreError::Key(_)
            | StoreError::NoUpload
            | StoreError::Unsupported
            | StoreError::SlowDown),
        ) => error.to_string(),
        UploadError::Store(_) => "the store cannot take this at the moment".into(),
        error => error.to_string(),
    }
}
