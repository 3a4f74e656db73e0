//! What a file cannot say of itself: attributes of the object, and the checksums it was written with.
//!
//! A sidecar is named after its key's hash, and the size and time of the file that it describes. So
//! the sidecars of two versions never meet, and one whose object did not get its name means nothing.

use std::fs::Metadata;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderValue};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::write::{Temporary, create_directories, sync};
use crate::store::{Attributes, RESERVED, StoreError, hex};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) key: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    /// Length and MD5 (hex) of the parts that the object was written in.
    #[serde(default)]
    pub(super) parts: Vec<(u64, String)>,
}

/// The sidecar of the file with this metadata. One that cannot be read counts as none: the object is
/// still there, and what is missing is noticed where attributes are compared.
pub(super) fn find(root: &Path, key: &str, metadata: &Metadata) -> Option<Sidecar> {
    let (folder, name) = place_of(root, key);
    let text = std::fs::read(folder.join(format!("{name}{}", version(metadata)))).ok()?;
    let sidecar: Sidecar = serde_json::from_slice(&text).ok()?;
    (sidecar.key == key).then_some(sidecar)
}

pub(super) fn write(
    root: &Path,
    key: &str,
    metadata: &Metadata,
    attributes: Attributes,
    parts: Vec<(u64, String)>,
) -> Result<(), StoreError> {
    let sidecar = Sidecar {
        key: key.to_owned(),
        attributes,
        parts,
    };
    let text = serde_json::to_vec(&sidecar).map_err(std::io::Error::from)?;
    let (folder, name) = place_of(root, key);
    create_directories(&folder)?;
    let temporary = Temporary::create(root)?;
    (&temporary.file).write_all(&text)?;
    temporary.file.sync_all()?;
    std::fs::rename(
        &temporary.path,
        folder.join(format!("{name}{}", version(metadata))),
    )?;
    sync(&folder)
}

/// Removes sidecars of other versions. They mean nothing, so it does not matter if that fails.
pub(super) fn remove_others(root: &Path, key: &str, but: Option<&Metadata>) {
    let (folder, name) = place_of(root, key);
    let keep = but.map(|metadata| format!("{name}{}", version(metadata)));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let entry_name = entry.file_name();
        let Some(found) = entry_name.to_str() else {
            continue;
        };
        if found.starts_with(&name) && keep.as_deref() != Some(found) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Headers of the object at `key`, for the origin that serves this directory.
pub(crate) fn attributes_of(root: &Path, key: &str, metadata: &Metadata) -> HeaderMap {
    let Some(Sidecar { attributes, .. }) = find(root, key, metadata) else {
        return HeaderMap::new();
    };
    [
        (CONTENT_TYPE, attributes.content_type),
        (CACHE_CONTROL, attributes.cache_control),
        (CONTENT_ENCODING, attributes.content_encoding),
        (CONTENT_DISPOSITION, attributes.content_disposition),
        (CONTENT_LANGUAGE, attributes.content_language),
        (EXPIRES, attributes.expires),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)))
    .collect()
}

/// Two levels of folders keep each small with millions of objects.
fn place_of(root: &Path, key: &str) -> (PathBuf, String) {
    let hash = hex(&Sha256::digest(key));
    let folder = root.join(RESERVED).join("objects");
    (folder.join(&hash[..2]).join(&hash[2..4]), hash)
}

/// Whole seconds: what backup tools keep.
fn version(metadata: &Metadata) -> String {
    format!("-{}-{}.json", metadata.len(), metadata.mtime())
}

/// Checks a body against its sidecar while it is read from the start.
pub(super) struct Checked {
    parts: std::vec::IntoIter<(u64, String)>,
    /// What is left of the current part, and its checksum.
    current: Option<(u64, String)>,
    md5: Md5,
    /// Without checksums there is nothing to check.
    known: bool,
}

const FLIPPED: StoreError = StoreError::Damaged("the file is not as it was written");

impl Checked {
    pub(super) fn new(sidecar: Sidecar) -> Self {
        let known = !sidecar.parts.is_empty();
        let mut parts = sidecar.parts.into_iter();
        Self {
            current: parts.next(),
            parts,
            md5: Md5::new(),
            known,
        }
    }

    pub(super) fn update(mut self, mut bytes: &[u8]) -> Result<Self, StoreError> {
        while self.known && !bytes.is_empty() {
            let (left, _) = self.current.as_mut().ok_or(FLIPPED)?;
            let count = usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.md5.update(now);
            *left -= count as u64;
            bytes = later;
            self.end_part()?;
        }
        Ok(self)
    }

    /// At the end of the body.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.end_part()?;
        match self.current {
            Some(_) => Err(FLIPPED),
            None => Ok(()),
        }
    }

    fn end_part(&mut self) -> Result<(), StoreError> {
        while let Some((0, expected)) = &self.current {
            let md5 = std::mem::take(&mut self.md5);
            if hex(&md5.finalize()) != *expected {
                return Err(FLIPPED);
            }
            self.current = self.parts.next();
        }
        Ok(())
    }
}
