//! Giving a file its place so that a power cut at any point leaves the old object or the new one.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{relative_path, sidecar};
use crate::origin::directory::entity_tag;
use crate::store::{Attributes, Condition, RESERVED, StoreError};

/// A file that has no name yet that a reader would find.
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Of an upload, which may still be completed when this attempt failed.
    kept: bool,
}

impl Temporary {
    pub(super) fn create(root: &Path) -> Result<Self, StoreError> {
        let directory = root.join(RESERVED).join("tmp");
        create_directories(&directory)?;
        let path = directory.join(format!("{:032x}", fastrand::u128(..)));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            kept: false,
        })
    }

    /// An existing file, to be taken over.
    pub(super) fn of(path: PathBuf, file: File) -> Self {
        Self {
            path,
            file,
            kept: true,
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Gives a written file its place, and returns its entity tag. The order is what a power cut may
/// interrupt anywhere: bytes, then sidecar, then name.
pub(super) fn place(
    root: &Path,
    temporary: &Temporary,
    key: &str,
    attributes: Attributes,
    parts: Vec<(u64, String)>,
    condition: &Condition,
) -> Result<String, StoreError> {
    let path = root.join(relative_path(key)?);
    temporary.file.sync_all()?;
    let metadata = temporary.file.metadata()?;
    let parent = path.parent().ok_or(StoreError::Key("it has no folder"))?;
    create_directories(parent)?;
    if parent.canonicalize()? != parent {
        return Err(StoreError::Key("a symbolic link is in the way"));
    }
    let current = current(&path)?;
    let current_tag = current.as_ref().map(entity_tag);
    match condition {
        Condition::Always => {}
        Condition::Absent if current.is_none() => {}
        Condition::Match(tag) if tag == "*" && current.is_some() => {}
        Condition::Match(tag) if current_tag.as_ref() == Some(tag) => {}
        Condition::Absent | Condition::Match(_) => return Err(StoreError::Precondition),
    }
    sidecar::write(root, key, &metadata, attributes, parts)?;
    if *condition == Condition::Absent {
        // A rename would replace what another has written in between; a link does not.
        match std::fs::hard_link(&temporary.path, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Precondition);
            }
            // Not every file system has links.
            Err(_) => std::fs::rename(&temporary.path, &path)?,
        }
    } else {
        std::fs::rename(&temporary.path, &path)?;
    }
    sync(parent)?;
    sidecar::remove_others(root, key, Some(&metadata));
    Ok(entity_tag(&metadata))
}

fn current(path: &Path) -> Result<Option<Metadata>, StoreError> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(StoreError::Key("something else than a file is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes folders that outlast a power cut.
pub(super) fn create_directories(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_directories(parent)?;
        match std::fs::create_dir(path) {
            Ok(()) => sync(parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(StoreError::Key("a file is where a folder is needed"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn sync(directory: &Path) -> Result<(), StoreError> {
    Ok(File::open(directory)?.sync_all()?)
}

pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync)
}
