//! What is done to object stores besides reading for the cache: listing, writing, uploading in parts,
//! deleting. One trait, two kinds of store; [`crate::archive`] and [`upload`] are built on it.
//!
//! Not for the request path of reads: that is [`crate::origin`], which retries, limits and falls back.

pub mod attributes;

pub mod digest;

mod directory;

mod error;

pub mod part_size;

pub mod passthrough;

mod s3;

pub mod upload;

use std::fmt::Write as _;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;

pub use attributes::Attributes;
pub use directory::DirectoryStore;
pub(crate) use directory::attributes_of;
pub use error::StoreError;
pub use s3::S3Store;
pub use upload::{Upload, UploadError, Uploaded};

use crate::config;
use crate::origin::ConnectError;

/// Keys under it are the tools' own notes, never objects: they are not listed and not moved.
pub const RESERVED: &str = ".edge/";

/// A body on its way out of a store.
pub type StoreBody = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// A question to a store on its way.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Objects by key. Keys are relative to the store's prefix and never percent-encoded.
pub trait ObjectStore: Send + Sync + 'static {
    /// One page of objects whose key starts with `prefix`, in the order of their keys; `page` is
    /// [`Listing::next`] of the page before.
    fn list<'a>(&'a self, prefix: &'a str, page: Option<&'a str>) -> Asked<'a, Listing>;

    /// What is known of an object without its body; `None` if there is none.
    fn head<'a>(&'a self, key: &'a str) -> Asked<'a, Option<ObjectHead>>;

    /// An object, or the bytes of it in `range`. With `version`, only if that is still its entity tag:
    /// else [`StoreError::Changed`]. A body that ends without an error is complete.
    fn get<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        version: Option<&'a str>,
    ) -> Asked<'a, Option<(ObjectHead, StoreBody)>>;

    /// Writes an object whole, durable when this ends. Returns its entity tag.
    fn put<'a>(
        &'a self,
        key: &'a str,
        attributes: &'a Attributes,
        body: Bytes,
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>>;

    /// Copies an object within the store, attributes included. S3 does that up to 5 GiB.
    fn copy<'a>(&'a self, from: &'a str, to: &'a str, condition: &'a Condition) -> Asked<'a, ()>;

    /// Removes an object, with `version` only if that is still its entity tag, as far as the store
    /// can tell: some S3 stores ignore the condition, so ask [`ObjectStore::head`] just before.
    fn delete<'a>(&'a self, key: &'a str, version: Option<&'a str>) -> Asked<'a, ()>;

    /// Begins an upload in parts.
    fn begin_upload<'a>(&'a self, key: &'a str, attributes: &'a Attributes)
    -> Asked<'a, UploadRef>;

    /// Uploads one part, which begins at `offset` of the object. Numbers start at 1; a number that was
    /// there is replaced.
    fn upload_part<'a>(
        &'a self,
        upload: &'a UploadRef,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Asked<'a, Part>;

    /// The parts that an upload has; [`StoreError::NoUpload`] if it is not there (any more).
    fn list_parts<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, Vec<Part>>;

    /// Makes the parts one object, durable when this ends. Returns its entity tag.
    fn complete_upload<'a>(
        &'a self,
        upload: &'a UploadRef,
        parts: &'a [Part],
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>>;

    /// Forgets an upload and its parts.
    fn abort_upload<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, ()>;
}

/// One page of a listing.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<Listed>,
    /// What to ask the next page with; `None` after the last.
    pub next: Option<String>,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes of its body.
    pub size: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// Its entity tag, quotes included, if listings of this store have it.
    pub etag: Option<String>,
}

/// An object without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Bytes of the whole body.
    pub size: u64,
    /// Entity tag, quotes included.
    pub etag: Option<String>,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// What was said about it when it was written.
    pub attributes: Attributes,
}

/// When a write may replace what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only if there is no such object (`If-None-Match: *`).
    Absent,
    /// Only over the version with this entity tag (`If-Match`).
    Match(String),
}

/// An upload in parts that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRef {
    /// Key of the object to be.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
}

/// One part of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1 to 10,000.
    pub number: u32,
    /// Bytes of it.
    pub size: u64,
    /// The store's tag of it, quotes included; S3 stores mostly give the MD5 in hex.
    pub etag: Option<String>,
}

/// The store that a configuration describes.
pub fn connect(
    origin: &config::Origin,
    limits: &config::OriginLimits,
) -> Result<Arc<dyn ObjectStore>, StoreConnectError> {
    Ok(match origin {
        config::Origin::S3(s3) => Arc::new(S3Store::connect(s3, limits)?),
        config::Origin::Directory { path } => Arc::new(DirectoryStore::new(path.clone())),
        config::Origin::Http { .. } => return Err(StoreConnectError::NotAStore),
    })
}

/// Why a store cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StoreConnectError {
    /// As for an origin.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// HTTP servers cannot be listed or written to.
    #[error("an HTTP origin cannot be listed or written to")]
    NotAStore,
}

/// Collects a body of at most `limit` bytes.
pub(crate) async fn collect(mut body: StoreBody, limit: u64) -> Result<Bytes, StoreError> {
    use futures_util::StreamExt as _;
    let mut collected = bytes::BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if (collected.len() + piece.len()) as u64 > limit {
            return Err(StoreError::Malformed("more bytes than announced"));
        }
        collected.extend_from_slice(&piece);
    }
    Ok(collected.freeze())
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
