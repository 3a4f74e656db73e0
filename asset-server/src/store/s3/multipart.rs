//! Uploads in parts.

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use http_body::{Body, Frame, SizeHint};
use http_body_util::StreamBody;
use tokio::sync::mpsc;

use super::failure::failure;
use super::{DateTime, DateTimeFormat};
use super::{S3Store, describe, headers};
use crate::store::passthrough::Piece;
use crate::store::{Attributes, Condition, Part, StoreError, UploadRef};

impl S3Store {
    pub(super) async fn begin(
        &self,
        key: &str,
        attributes: &Attributes,
    ) -> Result<UploadRef, StoreError> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let answer = describe!(request.key(self.full(key)), attributes)
            .send()
            .await
            .map_err(failure)?;
        let id = answer
            .upload_id()
            .ok_or(StoreError::Malformed("an upload without id"))?;
        Ok(UploadRef {
            key: key.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Uploads one part from a stream of `size` bytes.
    pub(crate) async fn part(
        &self,
        upload: &UploadRef,
        number: u32,
        body: ByteStream,
        size: u64,
        md5: Option<String>,
    ) -> Result<Part, StoreError> {
        let answer = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.full(&upload.key))
            .upload_id(&upload.id)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .content_length(i64::try_from(size).unwrap_or(i64::MAX))
            .set_content_md5(md5)
            .body(body)
            .send()
            .await
            .map_err(failure)?;
        Ok(Part {
            number,
            size,
            etag: answer.e_tag().map(str::to_owned),
        })
    }

    pub(super) async fn parts(&self, upload: &UploadRef) -> Result<Vec<Part>, StoreError> {
        let (mut parts, mut after) = (Vec::new(), None);
        loop {
            let answer = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(self.full(&upload.key))
                .upload_id(&upload.id)
                .set_part_number_marker(after.clone())
                .send()
                .await
                .map_err(failure)?;
            for part in answer.parts() {
                let number = part.part_number().and_then(|n| u32::try_from(n).ok());
                let size = part.size().and_then(|n| u64::try_from(n).ok());
                let (Some(number), Some(size)) = (number, size) else {
                    return Err(StoreError::Malformed("a part without number or size"));
                };
                parts.push(Part {
                    number,
                    size,
                    etag: part.e_tag().map(str::to_owned),
                });
            }
            let next = answer.next_part_number_marker().map(str::to_owned);
            // The same marker again would never end.
            if answer.is_truncated() != Some(true) || next.is_none() || next == after {
                break;
            }
            after = next;
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    pub(super) async fn complete(
        &self,
        upload: &UploadRef,
        parts: &[Part],
        condition: &Condition,
    ) -> Result<Option<String>, StoreError> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .set_e_tag(part.etag.clone())
                .build()
        });
        let (if_match, if_none_match) = headers(condition);
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(&upload.key))
            .upload_id(&upload.id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts.collect()))
                    .build(),
            )
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .send()
            .await
            .map_err(failure)?;
        Ok(answer.e_tag().map(str::to_owned))
    }

    pub(super) async fn abort(&self, upload: &UploadRef) -> Result<(), StoreError> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket);
        let sent = request
            .key(self.full(&upload.key))
            .upload_id(&upload.id)
            .send();
        match sent.await.map_err(failure) {
            Ok(_) | Err(StoreError::NoUpload) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl S3Store {
    /// As [`S3Store::part`], from pieces that arrive.
    pub(in crate::store) async fn stream_part(
        &self,
        upload: &UploadRef,
        number: u32,
        pieces: mpsc::Receiver<Piece>,
        size: u64,
        md5: Option<String>,
    ) -> Result<Part, StoreError> {
        let frames = futures_util::stream::unfold(pieces, |mut pieces| async move {
            let piece = pieces.recv().await?;
            Some((piece.map(Frame::data), pieces))
        });
        let body = ByteStream::from_body_1_x(SizedBody {
            body: StreamBody::new(Box::pin(frames)),
            size,
        });
        self.part(upload, number, body, size, md5).await
    }
}

pin_project_lite::pin_project! {
    /// A body that says its length, so that it is sent as it is and not in chunks.
    struct SizedBody<B> {
        #[pin]
        body: B,
        size: u64,
    }
}

impl<B: Body> Body for SizedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size)
    }
}
