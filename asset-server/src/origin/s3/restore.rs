//! Puts an object into a bucket whole or not at all, and never over another.
//!
//! Each part is in memory when it is sent, so its SHA-256 is part of the signature (SigV4) and the
//! store refuses a part that was damaged on the way. The length is checked as it is read and once more
//! at the store when everything is there.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
    HeaderName,
};

use super::S3Origin;
use crate::cache::freshness::http_date;
use crate::origin::OriginBody;
use crate::origin::restore::{Restore, RestoreError, Restored, Restoring};

/// An object up to this size is put at once; a larger one in parts of it. S3 wants at least 5 MiB.
const PART: u64 = 8 << 20;
/// S3 takes no more parts than this.
const MOST_PARTS: u64 = 10_000;

impl Restore for S3Origin {
    fn restore(&self, object: Restoring) -> BoxFuture<'_, Result<Restored, RestoreError>> {
        Box::pin(async move {
            let key = format!("{}{}", self.prefix, object.key);
            // Stores that know no `If-None-Match` on writes would overwrite; so look first.
            if self.length_of(&key).await?.is_some() {
                return Ok(Restored::Exists);
            }
            let expected = object.length;
            let restored = if expected <= PART {
                self.put(&key, object).await?
            } else {
                self.put_parts(&key, object).await?
            };
            match (restored, self.length_of(&key).await?) {
                (Restored::Copied, found) if found != Some(expected) => Err(RestoreError::Length {
                    expected,
                    found: found.unwrap_or(0),
                }),
                (restored, _) => Ok(restored),
            }
        })
    }
}

impl S3Origin {
    /// Bytes of an object, if it is there.
    async fn length_of(&self, key: &str) -> Result<Option<u64>, RestoreError> {
        let head = self.client.head_object().bucket(&self.bucket).key(key);
        match head.send().await {
            Ok(head) => Ok(head.content_length().and_then(|n| u64::try_from(n).ok())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(write_failed(error)),
        }
    }

    async fn put(&self, key: &str, object: Restoring) -> Result<Restored, RestoreError> {
        let mut parts = Parts::new(object.body, object.length);
        let body = parts.next(PART).await?;
        parts.end().await?;
        let headers = Headers(&object.headers);
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .set_cache_control(headers.text(CACHE_CONTROL))
            .set_content_disposition(headers.text(CONTENT_DISPOSITION))
            .set_content_encoding(headers.text(CONTENT_ENCODING))
            .set_content_language(headers.text(CONTENT_LANGUAGE))
            .set_content_type(headers.text(CONTENT_TYPE))
            .set_expires(headers.date(EXPIRES))
            .body(ByteStream::from(body));
        written(put.send().await)
    }

    async fn put_parts(&self, key: &str, object: Restoring) -> Result<Restored, RestoreError> {
        let headers = Headers(&object.headers);
        let upload = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .set_cache_control(headers.text(CACHE_CONTROL))
            .set_content_disposition(headers.text(CONTENT_DISPOSITION))
            .set_content_encoding(headers.text(CONTENT_ENCODING))
            .set_content_language(headers.text(CONTENT_LANGUAGE))
            .set_content_type(headers.text(CONTENT_TYPE))
            .set_expires(headers.date(EXPIRES))
            .send()
            .await
            .map_err(write_failed)?;
        let id = upload
            .upload_id()
            .ok_or_else(|| RestoreError::Write("an upload without an id".into()))?;
        let parts = Parts::new(object.body, object.length);
        let restored = self.upload(key, id, parts).await;
        if !matches!(restored, Ok(Restored::Copied)) {
            let abort = self.client.abort_multipart_upload();
            let aborted = abort.bucket(&self.bucket).key(key).upload_id(id).send();
            if let Err(error) = aborted.await {
                tracing::warn!(key, %error, "an unfinished upload is left in the bucket");
            }
        }
        restored
    }

    async fn upload(
        &self,
        key: &str,
        id: &str,
        mut parts: Parts,
    ) -> Result<Restored, RestoreError> {
        let size = PART.max(parts.left.div_ceil(MOST_PARTS));
        let mut completed = CompletedMultipartUpload::builder();
        for number in 1.. {
            let body = parts.next(size).await?;
            let sent = self
                .client
                .upload_part()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(id)
                .part_number(number)
                .body(ByteStream::from(body));
            let part = sent.send().await.map_err(write_failed)?;
            let done = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag().map(str::to_owned));
            completed = completed.parts(done.build());
            if parts.left == 0 {
                break;
            }
        }
        parts.end().await?;
        // It took a while: look again.
        if self.length_of(key).await?.is_some() {
            return Ok(Restored::Exists);
        }
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(id)
            .if_none_match("*")
            .multipart_upload(completed.build());
        written(complete.send().await)
    }
}

/// A body cut into parts of a size, its length checked on the way.
struct Parts {
    body: OriginBody,
    over: Bytes,
    length: u64,
    left: u64,
}

impl Parts {
    fn new(body: OriginBody, length: u64) -> Self {
        Self {
            body,
            over: Bytes::new(),
            length,
            left: length,
        }
    }

    /// The next `size` bytes, or what is left of the announced length.
    async fn next(&mut self, size: u64) -> Result<Bytes, RestoreError> {
        let size = size.min(self.left) as usize;
        let mut part = BytesMut::with_capacity(size);
        while part.len() < size {
            if self.over.is_empty() {
                self.over = match self.body.next().await {
                    Some(piece) => piece?,
                    None => return Err(self.wrong_by(part.len() as u64)),
                };
            }
            let piece = self.over.split_to(self.over.len().min(size - part.len()));
            part.extend_from_slice(&piece);
        }
        self.left -= size as u64;
        Ok(part.freeze())
    }

    /// Nothing may follow what was announced.
    async fn end(&mut self) -> Result<(), RestoreError> {
        loop {
            if !self.over.is_empty() {
                return Err(self.wrong_by(self.over.len() as u64));
            }
            match self.body.next().await {
                Some(piece) => self.over = piece?,
                None => return Ok(()),
            }
        }
    }

    fn wrong_by(&self, more: u64) -> RestoreError {
        RestoreError::Length {
            expected: self.length,
            found: self.length - self.left + more,
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Headers<'_> {
    fn text(&self, name: HeaderName) -> Option<String> {
        Some(self.0.get(name)?.to_str().ok()?.to_owned())
    }

    fn date(&self, name: HeaderName) -> Option<DateTime> {
        http_date(Some(self.0.get(name)?.as_bytes())).map(DateTime::from)
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// A write with `If-None-Match: *` that was refused found an object.
fn written<T, E>(sent: Result<T, SdkError<E, HttpResponse>>) -> Result<Restored, RestoreError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(Restored::Copied),
        Err(error) if matches!(status(&error), Some(409 | 412)) => Ok(Restored::Exists),
        Err(error) => Err(write_failed(error)),
    }
}

fn write_failed<E>(error: SdkError<E, HttpResponse>) -> RestoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    RestoreError::Write(Box::new(error))
}
