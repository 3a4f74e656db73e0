//! An S3-compatible object store as origin. The only module that names an AWS type.
//!
//! Bodies are not checksummed by the SDK (`when_required`): an ETag of a multipart object is no MD5,
//! stores differ in what else they offer, and a body cut short is found by its length.

mod small_objects;

use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures_util::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    ConnectError, Origin, OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest,
    Validator, Want, no_body,
};
use crate::config::{self, Addressing, OriginLimits};

pub(crate) use small_objects::SmallObjects;

pub(super) struct S3Origin {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Origin {
    pub(super) fn new(s3: &config::S3, limits: &OriginLimits) -> Result<Self, ConnectError> {
        let http_client = aws_smithy_http_client::Builder::new()
            .pool_max_idle_per_host(limits.max_concurrency)
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limits.connect_timeout)
            .read_timeout(limits.first_byte_timeout)
            .build();
        let builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&s3.endpoint)
            .region(Region::new(s3.region.clone()))
            .force_path_style(s3.addressing == Addressing::Path)
            .http_client(http_client)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // A fill that waits for a disk is no stalled stream, and a stalled one ends by our own
            // idle timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let builder = match credentials(&s3.credentials)? {
            Some(credentials) => builder.credentials_provider(credentials),
            None => builder.allow_no_auth(),
        };
        let client = Client::from_conf(builder.build());
        Ok(Self {
            client,
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
            ],
        };
        let length = head.content_length().and_then(|n| u64::try_from(n).ok());
        Ok(OriginAnswer::Found(OriginObject {
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
            ],
        }
        .into_map();
        if let Want::Range(range) = &request.want {
            super::http_server::check_range(&headers, range)?;
        }
        let length = object.content_length().and_then(|n| u64::try_from(n).ok());
        Ok(OriginAnswer::Found(OriginObject {
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
    match unless {
        Some(Validator::ETag(etag)) => (etag.to_str().ok().map(str::to_owned), None),
        Some(Validator::Date(date)) => {
            let date = crate::cache::freshness::http_date(Some(date.as_bytes()));
            (None, date.map(DateTime::from))
        }
        None => (None, None),
    }
}

/// What the SDK took apart, put together again as headers.
struct Head<'a> {
    etag: Option<&'a str>,
    modified: Option<&'a DateTime>,
    content_range: Option<&'a str>,
    lines: [(HeaderName, Option<&'a str>); 6],
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
        (_, "SlowDown") => Err(OriginError::SlowDown),
        (Some(403), code) if !code.is_empty() => Err(OriginError::Denied(code.to_owned())),
        (Some(status), _) if status >= 400 => Err(OriginError::of_status(status)),
        _ => Err(match error {
            SdkError::TimeoutError(_) => OriginError::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => OriginError::Timeout,
            error => OriginError::Unreachable(Box::new(error)),
        }),
    }
}

/// `None` for a public bucket.
fn credentials(source: &config::Credentials) -> Result<Option<Credentials>, ConnectError> {
    let from_environment = |name: &str| {
        std::env::var(name).map_err(|_| {
            ConnectError::Credentials(format!("environment variable {name} is not set"))
        })
    };
    let (access_key, secret_key, token) = match source {
        config::Credentials::Anonymous => return Ok(None),
        config::Credentials::Static {
            access_key,
            secret_key,
        } => (access_key.clone(), secret_key.expose().to_owned(), None),
        config::Credentials::Environment => (
            from_environment("AWS_ACCESS_KEY_ID")?,
            from_environment("AWS_SECRET_ACCESS_KEY")?,
            std::env::var("AWS_SESSION_TOKEN").ok(),
        ),
        config::Credentials::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConnectError::Credentials(format!("cannot read {}: {error}", path.display()))
            })?;
            let value = |name: &str| {
                text.lines()
                    .filter_map(|line| line.split_once('='))
                    .find(|(key, _)| key.trim() == name)
                    .map(|(_, value)| value.trim().to_owned())
            };
            let needed = |name: &str| {
                value(name).ok_or_else(|| {
                    ConnectError::Credentials(format!("{} has no {name}", path.display()))
                })
            };
            (
                needed("aws_access_key_id")?,
                needed("aws_secret_access_key")?,
                value("aws_session_token"),
            )
        }
    };
    Ok(Some(Credentials::new(
        access_key,
        secret_key,
        token,
        None,
        "asset-server",
    )))
}
