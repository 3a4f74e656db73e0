//! An S3-compatible object store as origin. With [`crate::s3_client`] and `store/s3` the only place
//! that names an AWS type.

mod small_objects;

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures_util::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    ConnectError, Origin, OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest,
    Validator, Want, no_body,
};
use crate::cache::surrogate::SURROGATE_KEY;
use crate::config::{self, OriginLimits};
use crate::s3_client;

pub(crate) use small_objects::SmallObjects;

pub(super) struct S3Origin {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Origin {
    pub(super) fn new(s3: &config::S3, limits: &OriginLimits) -> Result<Self, ConnectError> {
        Ok(Self {
            // Retries have their own budget: `origin::guarded`.
            client: s3_client::connect(s3, limits, RetryConfig::disabled())?,
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
        })
    }

    async fn head(&self, key: String, request: OriginRequest) -> Result<OriginAnswer, OriginError> {
        let (etag, date) = validator(request.unless);
        let sent = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .set_if_none_match(etag)
            .set_if_modified_since(date)
            .send()
            .await;
        let head = match sent {
            Ok(head) => head,
            Err(error) => return failure(error),
        };
        let headers = Head {
            etag: head.e_tag(),
            modified: head.last_modified(),
            content_range: None,
            lines: [
                (CACHE_CONTROL, head.cache_control()),
                (CONTENT_DISPOSITION, head.content_disposition()),
                (CONTENT_ENCODING, head.content_encoding()),
                (CONTENT_LANGUAGE, head.content_language()),
                (CONTENT_TYPE, head.content_type()),
                (EXPIRES, head.expires_string()),
                (SURROGATE_KEY, surrogate_key(head.metadata())),
            ],
        };
        let length = head.content_length().and_then(|n| u64::try_from(n).ok());
        Ok(OriginAnswer::Found(OriginObject {
            status: StatusCode::OK,
            headers: headers.into_map(),
            length,
            body: no_body(),
        }))
    }

    async fn get(&self, key: String, request: OriginRequest) -> Result<OriginAnswer, OriginError> {
        let (etag, date) = validator(request.unless);
        let range = match &request.want {
            Want::Range(range) => Some(format!(
                "bytes={}-{}",
                range.start,
                range.end.saturating_sub(1)
            )),
            _ => None,
        };
        let sent = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_range(range)
            .set_if_none_match(etag)
            .set_if_modified_since(date)
            .set_if_match(
                request
                    .only_if
                    .as_ref()
                    .and_then(|etag| etag.to_str().ok())
                    .map(str::to_owned),
            )
            .send()
            .await;
        let object = match sent {
            Ok(object) => object,
            Err(error) => return failure(error),
        };
        let headers = Head {
            etag: object.e_tag(),
            modified: object.last_modified(),
            content_range: object.content_range(),
            lines: [
                (CACHE_CONTROL, object.cache_control()),
                (CONTENT_DISPOSITION, object.content_disposition()),
                (CONTENT_ENCODING, object.content_encoding()),
                (CONTENT_LANGUAGE, object.content_language()),
                (CONTENT_TYPE, object.content_type()),
                (EXPIRES, object.expires_string()),
                (SURROGATE_KEY, surrogate_key(object.metadata())),
            ],
        }
        .into_map();
        if let Want::Range(range) = &request.want {
            super::http_server::check_range(&headers, range)?;
        }
        let length = object.content_length().and_then(|n| u64::try_from(n).ok());
        let status = match &request.want {
            Want::Range(_) => StatusCode::PARTIAL_CONTENT,
            _ => StatusCode::OK,
        };
        Ok(OriginAnswer::Found(OriginObject {
            status,
            headers,
            length,
            body: stream(object.body),
        }))
    }
}

impl Origin for S3Origin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        let key = format!("{}{}", self.prefix, request.key);
        match request.want {
            Want::Head => Box::pin(self.head(key, request)),
            Want::Body | Want::Range(_) => Box::pin(self.get(key, request)),
        }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>> {
        Box::pin(async move {
            match self.client.head_bucket().bucket(&self.bucket).send().await {
                Ok(_) => Ok(()),
                Err(error) => match failure(error) {
                    Ok(_) => Err(OriginError::Missing(format!(
                        "bucket {:?} does not exist",
                        self.bucket
                    ))),
                    Err(error) => Err(error),
                },
            }
        })
    }
}

fn stream(body: ByteStream) -> OriginBody {
    Box::pin(futures_util::stream::try_unfold(
        body,
        |mut body| async move {
            match body.next().await {
                Some(Ok(bytes)) => Ok(Some((bytes, body))),
                Some(Err(error)) => Err(OriginError::Body(error.into())),
                None => Ok(None),
            }
        },
    ))
}

fn validator(unless: Option<Validator>) -> (Option<String>, Option<DateTime>) {
    let Some(unless) = unless else {
        return (None, None);
    };
    if let Some(etag) = unless.strong_etag() {
        return (etag.to_str().ok().map(str::to_owned), None);
    }
    let date = unless.date.as_ref().map(|date| date.as_bytes());
    let date = crate::cache::freshness::http_date(date);
    (None, date.map(DateTime::from))
}

/// `x-amz-meta-surrogate-key`: objects have no other place for it.
fn surrogate_key(user: Option<&HashMap<String, String>>) -> Option<&str> {
    user?.get("surrogate-key").map(String::as_str)
}

/// What the SDK took apart, put together again as headers.
struct Head<'a> {
    etag: Option<&'a str>,
    modified: Option<&'a DateTime>,
    content_range: Option<&'a str>,
    lines: [(HeaderName, Option<&'a str>); 7],
}

impl Head<'_> {
    fn into_map(self) -> HeaderMap {
        let modified = self
            .modified
            .and_then(|date| SystemTime::try_from(*date).ok())
            .map(httpdate::fmt_http_date);
        let lines = self.lines.into_iter().chain([
            (ETAG, self.etag),
            (LAST_MODIFIED, modified.as_deref()),
            (CONTENT_RANGE, self.content_range),
        ]);
        lines
            .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?)))
            .collect()
    }
}

/// An answer that the SDK calls an error may be a good one: 304 and 404.
fn failure<E>(error: SdkError<E, HttpResponse>) -> Result<OriginAnswer, OriginError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let retry_after = error
        .raw_response()
        .and_then(|response| response.headers().get("retry-after"))
        .and_then(|value| super::retry_after(value.as_bytes(), SystemTime::now()));
    let code = error
        .as_service_error()
        .and_then(|e| e.code())
        .unwrap_or_default()
        .to_owned();
    match (status, code.as_str()) {
        (Some(304), _) => Ok(OriginAnswer::NotModified(HeaderMap::new())),
        (_, "NoSuchBucket") => Err(OriginError::Missing(
            "the origin's bucket does not exist".into(),
        )),
        (Some(404), _) => Ok(OriginAnswer::NotFound),
        (_, "SlowDown") => Err(OriginError::SlowDown { retry_after }),
        (Some(403), code) if !code.is_empty() => Err(OriginError::Denied(code.to_owned())),
        (Some(status), _) if status >= 400 => Err(OriginError::of_status(status, retry_after)),
        _ => Err(match error {
            SdkError::TimeoutError(_) => OriginError::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => OriginError::Timeout,
            error => OriginError::Unreachable(Box::new(error)),
        }),
    }
}
