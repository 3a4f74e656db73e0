//! Reading an object whole, for its hash.

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::{Archive, Progress};
use crate::store::{ObjectStore, StoreError};

/// What an object's bytes are: two that are equal here are equal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

impl Archive {
    pub(super) async fn hash(
        &self,
        store: &dyn ObjectStore,
        key: &str,
        version: Option<&str>,
        progress: &Progress,
    ) -> Result<Content, StoreError> {
        let found = store.get(key, None, version).await?;
        let (head, mut body) = found.ok_or(StoreError::Changed)?;
        let (mut sha256, mut size) = (Sha256::new(), 0);
        while let Some(piece) = body.next().await {
            let piece = piece?;
            self.pace.take(piece.len() as u64).await;
            progress.read(piece.len() as u64);
            sha256.update(&piece);
            size += piece.len() as u64;
        }
        match size == head.size {
            true => Ok(Content {
                size,
                sha256: sha256.finalize().into(),
            }),
            false => Err(StoreError::Body(
                "it has another length than announced".into(),
            )),
        }
    }
}
