//! An S3-compatible store.
//!
//! Requests are retried by the SDK, as all of them can be repeated: a write with a condition that took
//! effect unheard is answered 412 the second time, which callers must take for doubt, not for success.
//! Every body that is written carries `Content-MD5`, which all stores check (the newer
//! `x-amz-checksum-*` headers are unknown to many).

mod failure;
mod multipart;

use std::ops::Range;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Asked, Attributes, Condition, Listed, Listing, ObjectHead, ObjectStore, Part, StoreBody,
    StoreError, UploadRef,
};
use crate::config::{self, OriginLimits};
use crate::origin::ConnectError;
use crate::s3_client;
use failure::failure;

/// What stays as it is in `x-amz-copy-source`.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A bucket, or what is under a prefix of it.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    idle_timeout: Duration,
}

impl S3Store {
    /// Sets the connection up; nothing is sent yet.
    pub fn connect(s3: &config::S3, limits: &OriginLimits) -> Result<Self, ConnectError> {
        let retry = RetryConfig::standard().with_max_attempts(limits.attempts.max(1));
        Ok(Self {
            client: s3_client::connect(s3, limits, retry)?,
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            idle_timeout: limits.idle_timeout,
        })
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn page(&self, prefix: &str, page: Option<&str>) -> Result<Listing, StoreError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.full(prefix))
            .set_continuation_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(failure)?;
        let mut objects = Vec::with_capacity(answer.contents().len());
        for object in answer.contents() {
            let key = object.key().and_then(|key| key.strip_prefix(&self.prefix));
            let size = object.size().and_then(|size| u64::try_from(size).ok());
            let (Some(key), Some(size)) = (key, size) else {
                return Err(StoreError::Malformed("a listing without key or size"));
            };
            objects.push(Listed {
                key: key.to_owned(),
                size,
                modified: time(object.last_modified()),
                etag: object.e_tag().map(str::to_owned),
            });
        }
        let next = match answer.is_truncated() {
            Some(true) => Some(
                answer
                    .next_continuation_token()
                    .ok_or(StoreError::Malformed("a listing that cannot be continued"))?
                    .to_owned(),
            ),
            _ => None,
        };
        Ok(Listing { objects, next })
    }
}

/// The fields that HEAD and GET share, by name: the SDK gives them two types.
macro_rules! object_head {
    ($answer:expr, $size:expr) => {{
        let answer = &$answer;
        if answer.missing_meta().is_some_and(|count| count > 0) {
            return Err(StoreError::Malformed("metadata that headers cannot carry"));
        }
        ObjectHead {
            size: $size,
            etag: answer.e_tag().map(str::to_owned),
            modified: time(answer.last_modified()),
            attributes: Attributes {
                content_type: answer.content_type().map(str::to_owned),
                cache_control: answer.cache_control().map(str::to_owned),
                content_encoding: answer.content_encoding().map(str::to_owned),
                content_disposition: answer.content_disposition().map(str::to_owned),
                content_language: answer.content_language().map(str::to_owned),
                expires: answer.expires_string().map(str::to_owned),
                user: answer
                    .metadata()
                    .map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
                    .unwrap_or_default(),
            },
        }
    }};
}

/// Attributes and condition on any request that takes them.
macro_rules! describe {
    ($request:expr, $attributes:expr) => {{
        let attributes: &Attributes = $attributes;
        $request
            .set_content_type(attributes.content_type.clone())
            .set_cache_control(attributes.cache_control.clone())
            .set_content_encoding(attributes.content_encoding.clone())
            .set_content_disposition(attributes.content_disposition.clone())
            .set_content_language(attributes.content_language.clone())
            .set_expires(
                attributes
                    .expires
                    .as_deref()
                    .and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()),
            )
            .set_metadata(
                (!attributes.user.is_empty())
                    .then(|| attributes.user.clone().into_iter().collect()),
            )
    }};
}
use describe;

impl ObjectStore for S3Store {
    fn list<'a>(&'a self, prefix: &'a str, page: Option<&'a str>) -> Asked<'a, Listing> {
        Box::pin(self.page(prefix, page))
    }

    fn head<'a>(&'a self, key: &'a str) -> Asked<'a, Option<ObjectHead>> {
        Box::pin(async move {
            let asked = self.client.head_object().bucket(&self.bucket);
            match asked.key(self.full(key)).send().await {
                Ok(answer) => {
                    let size = length(answer.content_length())?;
                    Ok(Some(object_head!(answer, size)))
                }
                Err(error) => failure::none_if_missing(failure::found_by(error)),
            }
        })
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        version: Option<&'a str>,
    ) -> Asked<'a, Option<(ObjectHead, StoreBody)>> {
        Box::pin(async move {
            let lines = range
                .as_ref()
                .map(|r| format!("bytes={}-{}", r.start, r.end.saturating_sub(1)));
            let asked = self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(self.full(key))
                .set_range(lines)
                .set_if_match(version.map(str::to_owned));
            let answer = match asked.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    return match failure::none_if_missing::<()>(failure::found_by(error)) {
                        Err(StoreError::Precondition) => Err(StoreError::Changed),
                        Err(error) => Err(error),
                        Ok(_) => Ok(None),
                    };
                }
            };
            // Not every store knows the condition.
            if version.is_some() && answer.e_tag() != version {
                return Err(StoreError::Changed);
            }
            let sent = length(answer.content_length())?;
            let size = match &range {
                None => sent,
                Some(range) => {
                    // Some stores answer a range with other bytes than those asked for.
                    let (first, last, size) = answer
                        .content_range()
                        .and_then(content_range)
                        .ok_or(StoreError::Malformed("a range without Content-Range"))?;
                    if (first, last.saturating_add(1)) != (range.start, range.end)
                        || sent != range.end - range.start
                    {
                        return Err(StoreError::Malformed("another range than was asked for"));
                    }
                    size
                }
            };
            let head = object_head!(answer, size);
            Ok(Some((head, exactly(answer.body, sent, self.idle_timeout))))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        attributes: &'a Attributes,
        body: Bytes,
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>> {
        Box::pin(async move {
            let (if_match, if_none_match) = headers(condition);
            let request = self.client.put_object().bucket(&self.bucket);
            let request = describe!(request.key(self.full(key)), attributes);
            let answer = request
                .content_md5(content_md5(&body))
                .body(ByteStream::from(body))
                .set_if_match(if_match)
                .set_if_none_match(if_none_match)
                .send()
                .await
                .map_err(failure)?;
            Ok(answer.e_tag().map(str::to_owned))
        })
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str, condition: &'a Condition) -> Asked<'a, ()> {
        Box::pin(async move {
            let (if_match, if_none_match) = headers(condition);
            let from = format!("{}/{}", self.bucket, self.full(from));
            self.client
                .copy_object()
                .bucket(&self.bucket)
                .key(self.full(to))
                .copy_source(utf8_percent_encode(&from, COPY_SOURCE).to_string())
                .set_if_match(if_match)
                .set_if_none_match(if_none_match)
                .send()
                .await
                .map_err(failure)?;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str, version: Option<&'a str>) -> Asked<'a, ()> {
        Box::pin(async move {
            let request = self.client.delete_object().bucket(&self.bucket);
            request
                .key(self.full(key))
                .set_if_match(version.map(str::to_owned))
                .send()
                .await
                .map_err(failure)?;
            Ok(())
        })
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        attributes: &'a Attributes,
    ) -> Asked<'a, UploadRef> {
        Box::pin(self.begin(key, attributes))
    }

    fn upload_part<'a>(
        &'a self,
        upload: &'a UploadRef,
        number: u32,
        _offset: u64,
        body: Bytes,
    ) -> Asked<'a, Part> {
        Box::pin(async move {
            let (size, md5) = (body.len() as u64, content_md5(&body));
            self.part(upload, number, ByteStream::from(body), size, Some(md5))
                .await
        })
    }

    fn list_parts<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, Vec<Part>> {
        Box::pin(self.parts(upload))
    }

    fn complete_upload<'a>(
        &'a self,
        upload: &'a UploadRef,
        parts: &'a [Part],
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>> {
        Box::pin(self.complete(upload, parts, condition))
    }

    fn abort_upload<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, ()> {
        Box::pin(self.abort(upload))
    }
}

fn length(announced: Option<i64>) -> Result<u64, StoreError> {
    announced
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(StoreError::Malformed("an object without length"))
}

/// First and last byte, and the size of the whole (RFC 9110 section 14.4).
fn content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

fn time(date: Option<&DateTime>) -> Option<SystemTime> {
    date.and_then(|date| SystemTime::try_from(*date).ok())
}

/// `Content-MD5` (RFC 1864).
fn content_md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}

/// `If-Match` and `If-None-Match` of a write.
fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Always => (None, None),
        Condition::Absent => (None, Some("*".to_owned())),
        Condition::Match(etag) => (Some(etag.clone()), None),
    }
}

/// The body, with an error if it is not `length` bytes or stalls.
fn exactly(body: ByteStream, length: u64, idle: Duration) -> StoreBody {
    Box::pin(futures_util::stream::try_unfold(
        (body, length),
        move |(mut body, left)| async move {
            match tokio::time::timeout(idle, body.next()).await {
                Err(_) => Err(StoreError::Body("it has stalled".into())),
                Ok(Some(Ok(bytes))) => match left.checked_sub(bytes.len() as u64) {
                    Some(left) => Ok(Some((bytes, (body, left)))),
                    None => Err(StoreError::Malformed("more bytes than announced")),
                },
                Ok(Some(Err(error))) => Err(StoreError::Body(error.into())),
                Ok(None) if left > 0 => Err(StoreError::Body("it ended early".into())),
                Ok(None) => Ok(None),
            }
        },
    ))
}
