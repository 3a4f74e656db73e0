//! The note that makes an interrupted upload in parts one that can be continued.
//!
//! It is kept in the archive, because not every S3 store lists uploads that are under way, and the next
//! run may be on another machine. It is only a hint: every part is compared before it is taken for
//! sent, and the whole is read back in the end.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Archive, Direction};
use crate::store::{
    Attributes, Condition, ObjectHead, RESERVED, StoreError, UploadRef, collect, hex,
};

/// Bytes of the largest note that is read.
const LARGEST: u64 = 16 << 10;

/// What an upload in parts is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    key: String,
    pub(super) upload_id: String,
    /// Version of the source.
    etag: Option<String>,
    modified: Option<SystemTime>,
    size: u64,
    part_size: u64,
}

impl Record {
    pub(super) fn new(upload: &UploadRef, source: &ObjectHead, part_size: u64) -> Self {
        Self {
            key: upload.key.clone(),
            upload_id: upload.id.clone(),
            etag: source.etag.clone(),
            modified: source.modified,
            size: source.size,
            part_size,
        }
    }

    pub(super) fn upload(&self) -> UploadRef {
        UploadRef {
            key: self.key.clone(),
            id: self.upload_id.clone(),
        }
    }

    /// Whether that upload is of this version, cut in the same places.
    pub(super) fn is_about(&self, source: &ObjectHead, part_size: u64) -> bool {
        *self == Self::new(&self.upload(), source, part_size)
    }
}

impl Archive {
    /// A note that cannot be read is none.
    pub(super) async fn record(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let Some((head, body)) = self.notes.get(&self.note(key), None, None).await? else {
            return Ok(None);
        };
        if head.size > LARGEST {
            return Ok(None);
        }
        let text = collect(body, LARGEST).await?;
        let record = serde_json::from_slice::<Record>(&text).ok();
        Ok(record.filter(|record| record.key == key))
    }

    pub(super) async fn save_record(&self, record: &Record) -> Result<(), StoreError> {
        let text = serde_json::to_vec(record).map_err(std::io::Error::from)?;
        let (note, none) = (self.note(&record.key), Attributes::default());
        let put = self
            .notes
            .put(&note, &none, Bytes::from(text), &Condition::Always);
        put.await.map(|_| ())
    }

    pub(super) async fn forget_record(&self, key: &str) -> Result<(), StoreError> {
        self.notes.delete(&self.note(key), None).await
    }

    fn note(&self, key: &str) -> String {
        let direction = match self.options.direction {
            Direction::Archive => "archive",
            Direction::Restore => "restore",
        };
        format!(
            "{RESERVED}records/{direction}-{}.json",
            hex(&Sha256::digest(key))
        )
    }
}
