//! What the demo's bucket holds: a few hundred objects such as an ML platform serves.
//!
//! Names, sizes and bytes are the same at every start, so that a test can check what a cache answers
//! against [`Sample::body`] without keeping a copy. Text compresses, as real text does; the rest does not.

mod body;
mod catalogue;

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::task::JoinSet;

pub use self::catalogue::{Extent, catalogue, large};

use super::s3_store::{NewObject, PutError, S3Store};

/// Hashing is most of the work, and it is done once for each object in flight.
const AT_ONCE: usize = 4;

/// What a sample is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Words, as in JSON, CSV and source code.
    Text,
    /// Bytes that no encoder makes smaller, as in images and weights.
    Noise,
}

/// One object of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    key: String,
    length: u64,
    kind: Kind,
    content_type: &'static str,
    cache_control: Option<&'static str>,
}

/// The samples could not be stored.
#[derive(Debug, Error)]
pub enum SeedError {
    /// The store refused one.
    #[error(transparent)]
    Put(#[from] PutError),
    /// A task that stored one was cancelled or panicked.
    #[error("a sample was not stored to its end")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Sample {
    /// Its key in the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its path at the edge.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.key)
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Its bytes in chunks of at most 1 MiB; the same at every call.
    pub fn body(&self) -> impl Iterator<Item = Bytes> + Send + Sync + use<> {
        body::chunks(&self.key, self.kind, self.length)
    }

    /// What the store is given to hold it.
    pub fn to_object(&self) -> NewObject {
        let object = NewObject::new(&self.key, self.content_type, self.body());
        match self.cache_control {
            Some(value) => object.cache_control(value),
            None => object,
        }
    }
}

/// Puts the samples of `extent` into the store, and returns them in the order of the catalogue.
pub async fn seed(store: &Arc<S3Store>, extent: Extent) -> Result<Vec<Sample>, SeedError> {
    let samples = catalogue(extent);
    let mut storing = JoinSet::new();
    for sample in &samples {
        if storing.len() == AT_ONCE
            && let Some(stored) = storing.join_next().await
        {
            stored??;
        }
        let (store, object) = (Arc::clone(store), sample.to_object());
        storing.spawn(async move { store.put(object).await });
    }
    while let Some(stored) = storing.join_next().await {
        stored??;
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn small_samples_are_stored_under_the_names_that_are_returned() {
        let directory = TempDir::new().unwrap();
        let store = Arc::new(S3Store::start(directory.path(), 0, &[]).await.unwrap());
        let samples = seed(&store, Extent::Small).await.unwrap();
        for sample in &samples {
            let stored =
                std::fs::read(directory.path().join(store.bucket()).join(sample.key())).unwrap();
            assert_eq!(
                stored,
                sample.body().collect::<Vec<_>>().concat(),
                "{}",
                sample.key()
            );
        }
        assert!(
            samples
                .iter()
                .any(|sample| sample.path() == "/assets/webapp/index.html")
        );
    }
}
