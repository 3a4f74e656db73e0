//! A mounted directory as object store: what an archive on the company's own storage often is.
//!
//! An object is a file at its key's path. A write is a temporary file that is synced and then renamed,
//! so a reader sees the old object or the new one, whole, and what was confirmed survives a power cut as
//! far as the file system keeps its word. Attributes and checksums are in sidecars under `.edge/`, see
//! [`sidecar`]; uploads in parts in [`uploads`].

mod path;
mod sidecar;
mod uploads;
mod walk;
mod write;

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::{
    Asked, Attributes, Condition, Listing, ObjectHead, ObjectStore, Part, StoreBody, StoreError,
    UploadRef, hex,
};
use crate::origin::directory::entity_tag;
use sidecar::{Checked, Sidecar};
use write::{Temporary, place, sync_parent};

use path::relative_path;
pub(crate) use sidecar::attributes_of;

/// Bytes read from a file at a time.
const READ: u64 = 256 << 10;

/// Objects on one page of a listing.
const PAGE: usize = 1000;

/// A directory that this store writes alone; others may read it.
#[derive(Clone)]
pub struct DirectoryStore {
    root: Arc<Path>,
}

impl DirectoryStore {
    /// The directory must exist when it is used.
    pub fn new(root: PathBuf) -> Self {
        Self { root: root.into() }
    }

    /// Runs `work` where it may block.
    fn blocking<'a, T, F>(&self, work: F) -> Asked<'a, T>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> Result<T, StoreError> + Send + 'static,
    {
        let root = self.root.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                // A mount that is not there is an empty directory or none; never write under it.
                let root = root.canonicalize().map_err(|_| StoreError::NoBucket)?;
                work(&root)
            });
            match done.await {
                Ok(done) => done,
                Err(panic) => Err(StoreError::Io(io::Error::other(panic))),
            }
        })
    }
}

impl ObjectStore for DirectoryStore {
    fn list<'a>(&'a self, prefix: &'a str, page: Option<&'a str>) -> Asked<'a, Listing> {
        let (prefix, after) = (prefix.to_owned(), page.map(str::to_owned));
        self.blocking(move |root| walk::page(root, &prefix, after.as_deref(), PAGE))
    }

    fn head<'a>(&'a self, key: &'a str) -> Asked<'a, Option<ObjectHead>> {
        let key = key.to_owned();
        self.blocking(move |root| Ok(open(root, &key)?.map(|found| found.head)))
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        version: Option<&'a str>,
    ) -> Asked<'a, Option<(ObjectHead, StoreBody)>> {
        let (key, version) = (key.to_owned(), version.map(str::to_owned));
        self.blocking(move |root| {
            let Some(found) = open(root, &key)? else {
                return Ok(None);
            };
            if version.is_some() && found.head.etag != version {
                return Err(StoreError::Changed);
            }
            let size = found.head.size;
            let body = match range {
                Some(range) if range.start >= range.end || range.end > size => {
                    return Err(StoreError::Malformed("a range outside of the object"));
                }
                Some(range) => read(found.file, range, None),
                // Who reads all of it learns of bits that have flipped since it was written.
                None => read(found.file, 0..size, found.sidecar.map(Checked::new)),
            };
            Ok(Some((found.head, body)))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        attributes: &'a Attributes,
        body: Bytes,
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>> {
        let (key, attributes) = (key.to_owned(), attributes.clone());
        let condition = condition.clone();
        self.blocking(move |root| {
            relative_path(&key)?;
            let temporary = Temporary::create(root)?;
            (&temporary.file).write_all(&body)?;
            let parts = vec![(body.len() as u64, hex(&Md5::digest(&body)))];
            place(root, &temporary, &key, attributes, parts, &condition).map(Some)
        })
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str, condition: &'a Condition) -> Asked<'a, ()> {
        let (from, to, condition) = (from.to_owned(), to.to_owned(), condition.clone());
        self.blocking(move |root| {
            relative_path(&to)?;
            let mut found = open(root, &from)?.ok_or(StoreError::Changed)?;
            let mut temporary = Temporary::create(root)?;
            io::copy(&mut found.file, &mut temporary.file)?;
            let parts = found
                .sidecar
                .map(|sidecar| sidecar.parts)
                .unwrap_or_default();
            let attributes = found.head.attributes;
            place(root, &temporary, &to, attributes, parts, &condition).map(|_| ())
        })
    }

    fn delete<'a>(&'a self, key: &'a str, version: Option<&'a str>) -> Asked<'a, ()> {
        let (key, version) = (key.to_owned(), version.map(str::to_owned));
        self.blocking(move |root| {
            let Some(found) = open(root, &key)? else {
                return Ok(());
            };
            if version.is_some() && found.head.etag != version {
                return Err(StoreError::Precondition);
            }
            std::fs::remove_file(&found.path)?;
            sync_parent(&found.path)?;
            // After the object: a sidecar without one means nothing.
            sidecar::remove_others(root, &key, None);
            Ok(())
        })
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        attributes: &'a Attributes,
    ) -> Asked<'a, UploadRef> {
        let (key, attributes) = (key.to_owned(), attributes.clone());
        self.blocking(move |root| uploads::begin(root, key, attributes))
    }

    fn upload_part<'a>(
        &'a self,
        upload: &'a UploadRef,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Asked<'a, Part> {
        let upload = upload.clone();
        self.blocking(move |root| uploads::write_part(root, &upload, number, offset, &body))
    }

    fn list_parts<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, Vec<Part>> {
        let upload = upload.clone();
        self.blocking(move |root| {
            let written = uploads::written(root, &upload)?;
            Ok(written
                .into_values()
                .map(|written| written.part())
                .collect())
        })
    }

    fn complete_upload<'a>(
        &'a self,
        upload: &'a UploadRef,
        parts: &'a [Part],
        condition: &'a Condition,
    ) -> Asked<'a, Option<String>> {
        let (upload, parts) = (upload.clone(), parts.to_vec());
        let condition = condition.clone();
        self.blocking(move |root| uploads::complete(root, &upload, &parts, &condition).map(Some))
    }

    fn abort_upload<'a>(&'a self, upload: &'a UploadRef) -> Asked<'a, ()> {
        let upload = upload.clone();
        self.blocking(move |root| uploads::abort(root, &upload))
    }
}

// === reading ===

struct Found {
    path: PathBuf,
    file: File,
    head: ObjectHead,
    sidecar: Option<Sidecar>,
}

/// `None` if there is no such file, or the path leads out of the directory.
fn open(root: &Path, key: &str) -> Result<Option<Found>, StoreError> {
    let path = root.join(relative_path(key)?);
    let absent = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
        )
    };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Symbolic links are nobody's objects here: deleting one would leave what it leads to.
    if real != path || !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    let sidecar = sidecar::find(root, key, &metadata);
    let head = ObjectHead {
        size: metadata.len(),
        etag: Some(entity_tag(&metadata)),
        modified: metadata.modified().ok(),
        attributes: sidecar
            .as_ref()
            .map(|sidecar| sidecar.attributes.clone())
            .unwrap_or_default(),
    };
    Ok(Some(Found {
        path,
        file,
        head,
        sidecar,
    }))
}

fn read(file: File, range: Range<u64>, checked: Option<Checked>) -> StoreBody {
    let file = Arc::new(file);
    let state = (range.start, checked);
    Box::pin(futures_util::stream::try_unfold(
        state,
        move |(at, checked)| {
            let file = file.clone();
            let end = range.end;
            async move {
                if at >= end {
                    return match checked.map(Checked::finish) {
                        Some(Err(error)) => Err(error),
                        _ => Ok(None),
                    };
                }
                let count = (end - at).min(READ);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
                    file.read_exact_at(&mut bytes, at)?;
                    let checked = checked.map(|checked| checked.update(&bytes)).transpose()?;
                    Ok((Bytes::from(bytes), (at + count, checked)))
                });
                match read.await {
                    Ok(Ok(read)) => Ok(Some(read)),
                    Ok(Err(error)) => Err(error),
                    Err(panic) => Err(StoreError::Body(panic.into())),
                }
            }
        },
    ))
}

#[cfg(test)]
mod tests;
