//! Errors of the job API, as RFC 9457 problem documents.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use thiserror::Error;

/// Why the job API cannot do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Problem {
    #[error("there is no such job")]
    NoSuchJob,
    #[error("a job has a name of 1 to 100 characters")]
    BadName,
    #[error("a job has 1 to 1000 steps")]
    BadSteps,
    #[error("the job is not finished yet")]
    NotFinished,
    #[error("every job that is kept is unfinished")]
    Full,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::NoSuchJob => StatusCode::NOT_FOUND,
            Self::BadName | Self::BadSteps => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFinished => StatusCode::CONFLICT,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let document = json!({ "title": self.to_string(), "status": status.as_u16() }).to_string();
        let mut response = (status, document).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if matches!(self, Self::NotFinished | Self::Full) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
