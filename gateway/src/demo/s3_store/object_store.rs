//! The store's objects: files, with what a cache must be able to rely on added.
//!
//! `s3s-fs` keeps objects as files and speaks most of S3. On reads it leaves out what is added here:
//! conditions, `NoSuchBucket`, keys that name a directory, ranges that end where they should, and the
//! certainty that an entity tag belongs to the bytes beside it while the object is being replaced.

mod operations;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, SeekFrom};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Timestamp,
};
use s3s::dto::{PutObjectInput, Range, StreamingBlob};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep_until};
use tokio_util::io::ReaderStream;

use super::conditions::{Conditions, Outcome};
use super::request_log::{RequestLog, Requests};

/// Large enough that a read costs more than handing it to the thread that does it.
const READ_SIZE: usize = 256 * 1024;

/// How many objects can be replaced at once; two keys may share a lock.
const LOCKS: usize = 64;

/// An object to be stored by [`S3Store::put`](super::S3Store::put).
pub struct NewObject {
    key: String,
    content_type: String,
    cache_control: Option<String>,
    body: Box<dyn Iterator<Item = Bytes> + Send + Sync>,
}

/// An object could not be stored.
#[derive(Debug, Error)]
#[error("cannot store {key}")]
pub struct PutError {
    key: String,
    source: S3Error,
}

/// A handle on the objects; clones share them.
#[derive(Clone, Debug)]
pub(super) struct ObjectStore {
    root: PathBuf,
    files: Arc<FileSystem>,
    replacing: Arc<KeyLocks>,
    log: Arc<RequestLog>,
    /// Bytes a second of one body.
    stream_rate: Option<NonZeroU64>,
}

impl NewObject {
    /// An object whose body comes chunk by chunk and is never whole in memory.
    pub fn new(
        key: impl Into<String>,
        content_type: impl Into<String>,
        body: impl IntoIterator<Item = Bytes, IntoIter: Send + Sync + 'static>,
    ) -> Self {
        let (key, content_type) = (key.into(), content_type.into());
        Self {
            key,
            content_type,
            cache_control: None,
            body: Box::new(body.into_iter()),
        }
    }

    /// With a `Cache-Control` that the store sends along with the object.
    #[must_use]
    pub fn cache_control(self, value: impl Into<String>) -> Self {
        Self {
            cache_control: Some(value.into()),
            ..self
        }
    }
}

impl fmt::Debug for NewObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewObject")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl ObjectStore {
    pub(super) fn open(
        root: &Path,
        log: Arc<RequestLog>,
        stream_rate: Option<NonZeroU64>,
    ) -> io::Result<Self> {
        let files =
            FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(Self {
            root: root.to_owned(),
            files: Arc::new(files),
            replacing: Arc::default(),
            log,
            stream_rate,
        })
    }

    pub(super) fn requests(&self) -> Requests {
        self.log.requests()
    }

    pub(super) async fn put(&self, bucket: &str, object: NewObject) -> Result<(), PutError> {
        let NewObject {
            key,
            content_type,
            cache_control,
            body,
        } = object;
        let input = PutObjectInput {
            bucket: bucket.to_owned(),
            key: key.clone(),
            content_type: Some(content_type),
            cache_control,
            body: Some(StreamingBlob::wrap(
                stream::iter(body).map(Ok::<_, io::Error>),
            )),
            ..PutObjectInput::default()
        };
        let _replacing = self.replacing.of(&key).write().await;
        match self.files.put_object(unsigned(Method::PUT, input)).await {
            Ok(_) => Ok(()),
            Err(source) => Err(PutError { key, source }),
        }
    }

    async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let conditions = Conditions::from(&request.input);
        let GetObjectInput {
            bucket, key, range, ..
        } = &request.input;
        let (path, range) = (self.path_of(bucket, key)?, *range);

        let _unchanged = self.replacing.of(key).read().await;
        let mut response = self
            .files
            .get_object(request.clone())
            .await
            .map_err(|error| self.explain(error, bucket))?;
        let output = &mut response.output;
        judge(
            &conditions,
            output.e_tag.as_ref(),
            output.last_modified.as_ref(),
        )?;
        let body = read(&path, range, self.stream_rate).await;
        output.body = Some(body.map_err(S3Error::internal_error)?);
        Ok(response)
    }

    async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let conditions = Conditions::from(&request.input);
        self.path_of(&request.input.bucket, &request.input.key)?;

        let _unchanged = self.replacing.of(&request.input.key).read().await;
        let response = self.files.head_object(request).await?;
        judge(
            &conditions,
            response.output.e_tag.as_ref(),
            response.output.last_modified.as_ref(),
        )?;
        Ok(response)
    }

    /// The object's file, unless the key names something else on this disk.
    fn path_of(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let path = self.root.join(bucket).join(key);
        let leaves_bucket = key
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."));
        if leaves_bucket || path.is_dir() {
            Err(s3_error!(NoSuchKey))
        } else {
            Ok(path)
        }
    }

    /// `NoSuchKey` is only half the truth when the bucket is missing too.
    fn explain(&self, error: S3Error, bucket: &str) -> S3Error {
        if self.root.join(bucket).is_dir() {
            error
        } else {
            s3_error!(NoSuchBucket)
        }
    }
}

fn judge(
    conditions: &Conditions,
    etag: Option<&ETag>,
    last_modified: Option<&Timestamp>,
) -> S3Result<()> {
    match conditions.outcome(etag, last_modified) {
        Outcome::Proceed => Ok(()),
        Outcome::NotModified => Err(s3_error!(NotModified)),
        Outcome::PreconditionFailed => Err(s3_error!(PreconditionFailed)),
    }
}

async fn read(
    path: &Path,
    range: Option<Range>,
    rate: Option<NonZeroU64>,
) -> io::Result<StreamingBlob> {
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let range = match range {
        Some(range) => range.check(length).map_err(io::Error::other)?,
        None => 0..length,
    };
    file.seek(SeekFrom::Start(range.start)).await?;
    let wanted = file.take(range.end - range.start);
    let pieces = ReaderStream::with_capacity(wanted, READ_SIZE);
    Ok(match rate {
        None => StreamingBlob::wrap(pieces),
        Some(rate) => StreamingBlob::wrap(paced(pieces, rate)),
    })
}

/// Each piece no earlier than a stream of `rate` bytes a second has brought it to its end.
fn paced(
    pieces: impl Stream<Item = io::Result<Bytes>>,
    rate: NonZeroU64,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (start, mut sent) = (Instant::now(), 0);
    pieces.then(move |piece| {
        sent += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let due = start + Duration::from_micros(sent.saturating_mul(1_000_000) / rate);
        async move {
            sleep_until(due).await;
            piece
        }
    })
}

/// A request that comes from this process, and not from anybody with an access key.
fn unsigned<Input>(method: Method, input: Input) -> S3Request<Input> {
    S3Request {
        input,
        method,
        uri: Uri::default(),
        headers: HeaderMap::new(),
        extensions: Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

/// Held for reading while an object's bytes and entity tag are looked up, for writing while both change.
#[derive(Debug)]
struct KeyLocks {
    locks: [RwLock<()>; LOCKS],
    hasher: RandomState,
}

impl KeyLocks {
    fn of(&self, key: &str) -> &RwLock<()> {
        // The remainder is below LOCKS, so the conversion loses nothing.
        &self.locks[(self.hasher.hash_one(key) % LOCKS as u64) as usize]
    }
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self {
            locks: std::array::from_fn(|_| RwLock::new(())),
            hasher: RandomState::new(),
        }
    }
}
