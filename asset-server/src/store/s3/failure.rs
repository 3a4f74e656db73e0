//! What the SDK's errors mean.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::store::StoreError;

/// An error, or that the object is not there.
pub(super) enum Found {
    Missing,
    Failed(StoreError),
}

/// For requests that ask for an object.
pub(super) fn found_by<E>(error: SdkError<E, HttpResponse>) -> Found
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match failure(error) {
        // HEAD has no body and so no code.
        StoreError::Status { status: 404, code } if code != "NoSuchBucket" => Found::Missing,
        error => Found::Failed(error),
    }
}

pub(super) fn none_if_missing<T>(found: Found) -> Result<Option<T>, StoreError> {
    match found {
        Found::Missing => Ok(None),
        Found::Failed(error) => Err(error),
    }
}

pub(super) fn failure<E>(error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|r| r.status().as_u16());
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default()
        .to_owned();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoBucket,
        (_, "NoSuchUpload") => StoreError::NoUpload,
        (_, "SlowDown") => StoreError::SlowDown,
        (_, "BadDigest" | "InvalidDigest") => StoreError::Damaged("it arrived otherwise than sent"),
        (Some(409 | 412), _) => StoreError::Precondition,
        (Some(501), _) | (_, "NotImplemented") => StoreError::Unsupported,
        (Some(429 | 503), _) => StoreError::SlowDown,
        (Some(401 | 403), _) => StoreError::Denied(match code.is_empty() {
            true => format!("status {}", status.unwrap_or_default()),
            false => code,
        }),
        (Some(status), _) if status >= 400 => StoreError::Status { status, code },
        _ => StoreError::Unreachable(match error {
            SdkError::TimeoutError(_) => "no answer in time".into(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                "no answer in time".into()
            }
            error => DisplayErrorContext(error).to_string().into(),
        }),
    }
}
