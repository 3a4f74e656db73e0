//! Why a store did not do what it was asked to.

use std::io;

use crate::origin::Source;

/// A failure of an object store. Its text is for operators and logs, not for clients.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, no answer in time, or the connection broke.
    #[error("the store cannot be reached: {0}")]
    Unreachable(#[source] Source),
    /// It asks to slow down (503 `SlowDown`, 429).
    #[error("the store asks to slow down")]
    SlowDown,
    /// It refuses the credentials, or refuses them this.
    #[error("the store denied access: {0}")]
    Denied(String),
    /// The bucket or directory is not there.
    #[error("the bucket or directory does not exist")]
    NoBucket,
    /// The upload in parts is not there (any more).
    #[error("there is no such upload")]
    NoUpload,
    /// The condition of a write or delete does not hold.
    #[error("the object is not as the condition says")]
    Precondition,
    /// The version that was asked for is no longer the current one.
    #[error("the object has changed meanwhile")]
    Changed,
    /// This key cannot be kept in this store.
    #[error("the key cannot be kept in this store: {0}")]
    Key(&'static str),
    /// Bytes and checksum do not agree.
    #[error("bytes and checksum do not agree: {0}")]
    Damaged(&'static str),
    /// A body ended early or stalled.
    #[error("the body is incomplete: {0}")]
    Body(#[source] Source),
    /// An answer that makes no sense.
    #[error("the store's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The store cannot do this.
    #[error("the store does not support this")]
    Unsupported,
    /// It answered with an error.
    #[error("the store answered with status {status} {code}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its error code, if it gave one.
        code: String,
    },
    /// A file of a mounted directory.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
