//! The S3 operations on offer: reads are counted and judged, writes exclude reads of the same key, the
//! rest goes straight to the files.

use std::io;

use async_trait::async_trait;
use futures_util::StreamExt;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result};

use super::ObjectStore;

#[async_trait]
impl S3 for ObjectStore {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let requester = request
            .credentials
            .as_ref()
            .map(|signed_with| signed_with.access_key.clone());
        let (key, is_range) = (request.input.key.clone(), request.input.range.is_some());
        // Counted before it is answered, so that whoever has the answer finds it in the count.
        let under_way = self.log.begin_get(requester.as_deref(), &key, is_range);
        let mut answer = self.get(request).await;
        if let Err(error) = &answer {
            let not_modified = matches!(error.code(), S3ErrorCode::NotModified);
            self.log.note(requester.as_deref(), &key, |object| {
                object.not_modified += u64::from(not_modified);
                object.get_failed += u64::from(!not_modified);
            });
        }
        // It ends when the last of its body is sent, or nobody wants it any more.
        if let Ok(answer) = &mut answer {
            let body = answer.output.body.take();
            answer.output.body = body.map(|body| {
                StreamingBlob::wrap(body.map(move |piece| {
                    let _ends_with_the_body = &under_way;
                    piece.map_err(io::Error::other)
                }))
            });
        }
        answer
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let requester = request
            .credentials
            .as_ref()
            .map(|signed_with| signed_with.access_key.as_str());
        self.log
            .note(requester, &request.input.key, |object| object.head += 1);
        self.head(request).await
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let requester = request
            .credentials
            .as_ref()
            .map(|signed_with| signed_with.access_key.as_str());
        self.log
            .note(requester, &request.input.key, |object| object.put += 1);
        let _replacing = self.replacing.of(&request.input.key).write().await;
        self.files.put_object(request).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let _replacing = self.replacing.of(&request.input.key).write().await;
        self.files.copy_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _replacing = self.replacing.of(&request.input.key).write().await;
        self.files.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.files.delete_objects(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.files.get_bucket_location(request).await
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(request).await
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        self.files.list_objects(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(request).await
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.files.list_parts(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _replacing = self.replacing.of(&request.input.key).write().await;
        self.files.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(request).await
    }
}
