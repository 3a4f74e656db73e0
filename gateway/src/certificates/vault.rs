//! Sealed values by name in shared storage.
//!
//! Nothing in the store is believed that was not sealed with one of our keys: who may only write there
//! cannot slip in a certificate, nor a challenge that would let them get one. An object that does not open
//! is an error and never taken for "not there", so it is never written over.

use std::sync::Arc;
use std::time::Duration;

use asset_server::store::{Attributes, Condition, ObjectStore, StoreError};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{Keys, OpenError};

/// Put before all names. No URL of an asset leads there.
const FOLDER: &str = ".edge/records/certificates/";

/// Larger objects are not ours: a chain with its key has some 10 KiB.
const MOST_BYTES: u64 = 1 << 20;

/// For one question to the store, its own retries included.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It failed, or a condition did not hold.
    #[error("the certificate store: {0}")]
    Store(#[from] StoreError),
    /// It does not answer.
    #[error("the certificate store does not answer")]
    Timeout,
    /// An object does not open.
    #[error("{name} in the certificate store: {source}")]
    Open {
        /// The object.
        name: String,
        /// The reason.
        source: OpenError,
    },
    /// An object opens, but what is in it makes no sense.
    #[error("{name} in the certificate store: {source}")]
    Content {
        /// The object.
        name: String,
        /// The parser's reason.
        source: serde_json::Error,
    },
}

impl VaultError {
    /// Whether another was faster.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Precondition | StoreError::Changed)
        )
    }
}

/// A value and the version of its object.
#[derive(Debug)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// Entity tag, if the store has them.
    pub etag: Option<String>,
    /// Whether it is sealed with the first key.
    pub current_key: bool,
}

/// The store and the keys to it.
#[derive(Clone)]
pub struct Vault {
    store: Arc<dyn ObjectStore>,
    keys: Arc<Keys>,
}

impl Vault {
    /// Values in `store`, sealed with `keys`.
    pub fn new(store: Arc<dyn ObjectStore>, keys: Arc<Keys>) -> Self {
        Self { store, keys }
    }

    /// The value at `name`; `None` where there is no such object.
    pub async fn get<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<Found<T>>, VaultError> {
        let Some((etag, sealed)) = in_time(self.read(&path(name))).await? else {
            return Ok(None);
        };
        let plain = self
            .keys
            .open(name, &sealed)
            .map_err(|source| VaultError::Open {
                name: name.to_owned(),
                source,
            })?;
        let value = serde_json::from_slice(&plain).map_err(|source| VaultError::Content {
            name: name.to_owned(),
            source,
        })?;
        Ok(Some(Found {
            value,
            etag,
            current_key: self.keys.is_current(&sealed),
        }))
    }

    /// Writes the value at `name`, whole or not at all.
    pub async fn put<T: Serialize>(
        &self,
        name: &str,
        value: &T,
        condition: &Condition,
    ) -> Result<(), VaultError> {
        let plain = serde_json::to_vec(value).map_err(|source| VaultError::Content {
            name: name.to_owned(),
            source,
        })?;
        let body = Bytes::from(self.keys.seal(name, &plain));
        let attributes = Attributes::default();
        let path = path(name);
        in_time(self.store.put(&path, &attributes, body, condition)).await?;
        Ok(())
    }

    /// Removes the value at `name`.
    pub async fn delete(&self, name: &str) -> Result<(), VaultError> {
        in_time(self.store.delete(&path(name), None)).await
    }

    async fn read(&self, path: &str) -> Result<Option<(Option<String>, Bytes)>, StoreError> {
        let Some((head, mut body)) = self.store.get(path, None, None).await? else {
            return Ok(None);
        };
        let mut sealed = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece?;
            if (sealed.len() + piece.len()) as u64 > MOST_BYTES {
                return Err(StoreError::Malformed(
                    "an object too large to be a certificate",
                ));
            }
            sealed.extend_from_slice(&piece);
        }
        Ok(Some((head.etag, sealed.freeze())))
    }
}

fn path(name: &str) -> String {
    // Some stores and shells take an asterisk for a pattern.
    format!("{FOLDER}{}", name.replace('*', "_"))
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, VaultError> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(VaultError::Timeout),
    }
}
