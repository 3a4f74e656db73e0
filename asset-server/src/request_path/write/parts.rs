//! Clients' own uploads in parts, which go on to the S3 store as they are, and so can be resumed.

use bytes::BytesMut;
use futures_util::StreamExt as _;

use super::answer::Done;
use super::body::Pieces;
use super::description::{self, Precondition};
use super::{Write, WriteError};
use crate::store::digest::Expected;
use crate::store::passthrough::{self, xml};
use crate::store::{ObjectStore as _, S3Store, StoreError, UploadRef};

/// What the store says of parts that do not fit together.
const UNFIT: [&str; 4] = [
    "EntityTooSmall",
    "InvalidPart",
    "InvalidPartOrder",
    "MalformedXML",
];

impl Write {
    fn s3(&self) -> Result<&S3Store, WriteError> {
        self.writes
            .s3
            .as_deref()
            .ok_or(StoreError::Unsupported.into())
    }

    /// What the bucket is called towards clients: with it, this edge is a path-style S3 endpoint.
    fn bucket(&self) -> &str {
        self.mount.path.trim_matches('/')
    }

    fn upload(&self, id: String) -> UploadRef {
        UploadRef {
            key: self.key(),
            id,
        }
    }

    pub(super) async fn begin(&self) -> Result<Done, WriteError> {
        let s3 = self.s3()?;
        description::refuse_other_bodies(&self.headers)?;
        let attributes = description::attributes(&self.headers)?;
        let upload = s3.begin_upload(&self.key(), &attributes).await?;
        Ok(Done::Xml {
            document: xml::initiated(self.bucket(), &upload),
            etag: None,
            purge: None,
        })
    }

    pub(super) async fn part(
        &self,
        upload: String,
        number: u32,
        length: Option<u64>,
        body: Pieces,
    ) -> Result<Done, WriteError> {
        let s3 = self.s3()?;
        description::refuse_other_bodies(&self.headers)?;
        let length = length.ok_or(WriteError::LengthRequired)?;
        let expected = Expected::of(&self.headers)?;
        let upload = self.upload(upload);
        let sent = passthrough::upload_part(s3, &upload, number, length, &expected, body).await;
        let part = sent.map_err(|error| WriteError::of(error, self.max_size()))?;
        Ok(Done::Part { etag: part.etag })
    }

    pub(super) async fn list(&self, upload: String) -> Result<Done, WriteError> {
        let upload = self.upload(upload);
        let parts = self.s3()?.list_parts(&upload).await?;
        let document = xml::parts(self.bucket(), &upload, &parts);
        Ok(Done::Xml {
            document,
            etag: None,
            purge: None,
        })
    }

    pub(super) async fn complete(
        &self,
        upload: String,
        mut body: Pieces,
    ) -> Result<Done, WriteError> {
        let s3 = self.s3()?;
        let precondition = Precondition::of(&self.headers)?;
        let mut list = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| WriteError::of_body(error, self.max_size()))?;
            if list.len() + piece.len() > xml::LARGEST_COMPLETION {
                return Err(WriteError::Parts("the list is too long".into()));
            }
            list.extend_from_slice(&piece);
        }
        let wanted =
            xml::completion(&list).map_err(|error| WriteError::Parts(error.to_string()))?;
        let upload = self.upload(upload);
        let there = s3.list_parts(&upload).await?;
        let sizes = there.iter().map(|part| part.size);
        if sizes.fold(0, u64::saturating_add) > self.max_size() {
            return Err(WriteError::TooLarge(self.max_size()));
        }
        let (condition, _) = match precondition {
            Precondition::None => Default::default(),
            precondition => precondition.ask(s3, &upload.key).await?,
        };
        let complete = s3.complete_upload(&upload, &wanted, &condition).await;
        let complete = complete.map_err(|error| match error {
            StoreError::Status { code, .. } if UNFIT.contains(&code.as_str()) => {
                WriteError::Parts(code)
            }
            error => error.into(),
        });
        let (etag, purge) = self.and_purge(complete).await?;
        let (location, bucket) = (self.location(), self.bucket());
        let document = xml::completed(&location, bucket, &upload.key, etag.as_deref());
        Ok(Done::Xml {
            document,
            etag,
            purge: Some(purge),
        })
    }

    pub(super) async fn abort(&self, upload: String) -> Result<Done, WriteError> {
        let upload = self.upload(upload);
        self.s3()?.abort_upload(&upload).await?;
        Ok(Done::Aborted)
    }
}
