//! A local directory as origin, for development and mounted archives.
//!
//! Confined twice: keys hold no `..`, and what a key leads to after symbolic links are followed must
//! still be inside the directory.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{
    Origin, OriginAnswer, OriginBody, OriginError, OriginObject, OriginRequest, Want, no_body,
};
use crate::store::{RESERVED, attributes_of};

/// Bytes read from a file at a time.
const READ: u64 = 256 << 10;

pub(super) struct DirectoryOrigin {
    root: Arc<Path>,
}

impl DirectoryOrigin {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root: root.into() }
    }
}

impl Origin for DirectoryOrigin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        let root = self.root.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || answer(&root, &request)).await {
                Ok(answer) => answer,
                Err(panic) => Err(OriginError::Unreachable(panic.into())),
            }
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>> {
        let root = self.root.clone();
        Box::pin(async move {
            match tokio::fs::metadata(&root).await {
                Ok(metadata) if metadata.is_dir() => Ok(()),
                _ => Err(missing()),
            }
        })
    }
}

fn missing() -> OriginError {
    OriginError::Missing("the origin's directory does not exist".into())
}

fn answer(root: &Path, request: &OriginRequest) -> Result<OriginAnswer, OriginError> {
    let Some((file, metadata)) = open(root, &request.key)? else {
        return Ok(OriginAnswer::NotFound);
    };
    let mut headers = headers_of(&metadata);
    // What an archived object was called when it was in a bucket.
    if let Ok(root) = root.canonicalize() {
        headers.extend(attributes_of(&root, &request.key, &metadata));
    }
    let etag = headers.get(ETAG);
    if request.only_if.is_some() && request.only_if.as_ref() != etag {
        return Err(OriginError::Changed);
    }
    if request
        .unless
        .as_ref()
        .is_some_and(|known| known.etag.as_ref() == etag)
    {
        return Ok(OriginAnswer::NotModified(HeaderMap::new()));
    }
    let total = metadata.len();
    let mut headers = headers;
    let mut status = StatusCode::OK;
    let (length, body) = match &request.want {
        Want::Head => (total, no_body()),
        Want::Body => (total, stream(file, 0, total)),
        Want::Range(range) if range.start >= total => return Err(OriginError::Unsatisfiable),
        Want::Range(range) => {
            let end = range.end.min(total);
            status = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {}-{}/{total}", range.start, end - 1);
            headers.extend(
                HeaderValue::try_from(value)
                    .ok()
                    .map(|v| (CONTENT_RANGE, v)),
            );
            (
                end.saturating_sub(range.start),
                stream(file, range.start, end),
            )
        }
    };
    Ok(OriginAnswer::Found(OriginObject {
        status,
        headers,
        length: Some(length),
        body,
    }))
}

/// `None` if there is no such file in the directory, or the path leads out of it.
fn open(root: &Path, key: &str) -> Result<Option<(File, Metadata)>, OriginError> {
    let failed = |error: io::Error| OriginError::Unreachable(error.into());
    if key.starts_with(RESERVED) {
        return Ok(None);
    }
    let root = root.canonicalize().map_err(|_| missing())?;
    let path = match root.join(key).canonicalize() {
        Ok(path) if path.starts_with(&root) => path,
        Ok(_) => return Ok(None),
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidFilename => Ok(None),
                _ => Err(failed(error)),
            };
        }
    };
    // A named pipe or device would block or never end, so look before opening.
    if !path.metadata().map_err(failed)?.is_file() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => OriginError::Denied("the file cannot be read".into()),
        _ => failed(error),
    })?;
    let metadata = file.metadata().map_err(failed)?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// A file has no version but its times, size and number; together they are as strong as it gets.
pub(crate) fn entity_tag(metadata: &Metadata) -> String {
    format!(
        "\"{:x}-{:x}-{:x}-{:x}\"",
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec()
    )
}

fn headers_of(metadata: &Metadata) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let modified = metadata.modified().map(httpdate::fmt_http_date);
    if let Ok(tag) = HeaderValue::try_from(entity_tag(metadata)) {
        headers.insert(ETAG, tag);
    }
    if let Some(modified) = modified
        .ok()
        .and_then(|date| HeaderValue::try_from(date).ok())
    {
        headers.insert(LAST_MODIFIED, modified);
    }
    headers
}

fn stream(file: File, start: u64, end: u64) -> OriginBody {
    let file = Arc::new(file);
    Box::pin(futures_util::stream::try_unfold(start, move |at| {
        let file = file.clone();
        async move {
            if at >= end {
                return Ok(None);
            }
            let count = (end - at).min(READ);
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; count as usize];
                file.read_exact_at(&mut bytes, at)
                    .map(|()| Bytes::from(bytes))
            });
            match read.await {
                Ok(Ok(bytes)) => Ok(Some((bytes, at + count))),
                Ok(Err(error)) => Err(OriginError::Body(error.into())),
                Err(panic) => Err(OriginError::Body(panic.into())),
            }
        }
    }))
}
