//! What a start finds: the folders say which files there are, the journal says what is in them. Heads
//! of files are read only where it does not know.

use std::fs;
use std::io;
use std::path::Path;

use super::files::Files;
use super::format::FormatError;
use super::journal::record::{Record, Summary, read_all};
use super::object::{ReadError, read_head};
use super::{OBJECT, journal, path_of};
use crate::cache::surrogate::{self, Tag};

/// A complete file.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) id: u64,
    pub(super) size: u64,
    pub(super) main: bool,
    pub(super) tags: Vec<Tag>,
    pub(super) key: Box<str>,
}

/// All complete files, oldest first, and how they were found.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) files: Vec<Recovered>,
    /// Largest id that was ever used, as far as is known.
    pub(super) last_id: u64,
    /// Files whose heads had to be read.
    pub(super) heads_read: u64,
    /// Files that were removed because they were damaged.
    pub(super) damaged: u64,
    /// Files that were to be deleted, and still cannot be.
    pub(super) undeleted: Vec<u64>,
    /// What the journal consisted of.
    pub(super) journal: Summary,
}

/// What is known of one file so far.
#[derive(Debug, Default)]
enum Claim {
    #[default]
    None,
    Stored {
        size: u64,
        main: bool,
        tags: Vec<Tag>,
        key: Box<str>,
    },
    /// It was to be deleted when the process ended.
    Removed,
}

/// Finds what is in `directory`. What is left over, damaged, or not ours to judge is removed from our
/// folders. Blocks.
pub(super) fn recover(directory: &Path, files: &Files) -> io::Result<Recovery> {
    let mut ids = list(directory)?;
    ids.sort_unstable();
    let mut claims: Vec<Claim> = Vec::new();
    claims.resize_with(ids.len(), Claim::default);
    let mut recovery = Recovery {
        last_id: ids.last().copied().unwrap_or(0),
        ..Recovery::default()
    };
    match files.open(&directory.join(journal::NAME)) {
        Ok(file) => {
            let mut last_id = 0;
            let read = read_all(file, &mut recovery.journal, |record| {
                last_id = last_id.max(apply(record, &ids, &mut claims));
            });
            recovery.last_id = recovery.last_id.max(last_id);
            if let Err(error) = read {
                tracing::warn!(%error, "the journal cannot be read to its end");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "the journal cannot be read"),
    }
    recovery.files.reserve_exact(ids.len());
    for (id, claim) in ids.into_iter().zip(claims) {
        match claim {
            Claim::Stored {
                size,
                main,
                tags,
                key,
            } => recovery.files.push(Recovered {
                id,
                size,
                main,
                tags,
                key,
            }),
            Claim::Removed => {
                if files.remove(&path_of(directory, id, OBJECT)).is_err() {
                    recovery.undeleted.push(id);
                }
            }
            Claim::None => {
                recovery.heads_read += 1;
                match read(directory, id, files) {
                    Ok(file) => recovery.files.push(file),
                    Err(error) => {
                        recovery.damaged += u64::from(error.is_corrupt());
                        let path = path_of(directory, id, OBJECT);
                        tracing::warn!(file = %path.display(), %error, "a cache file that cannot be read was removed");
                        let _ = files.remove(&path);
                    }
                }
            }
        }
    }
    Ok(recovery)
}

/// Ids of the files that are complete by their names. Everything else in our folders is removed.
fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for folder in fs::read_dir(directory)? {
        let folder = folder?;
        let number = folder.file_name().to_str().and_then(|name| {
            u64::from_str_radix(name, 16)
                .ok()
                .filter(|_| is_hex(name, 2))
        });
        let Some(number) = number else { continue };
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            match id_of(&file.file_name()).filter(|id| id & 0xff == number) {
                Some(id) => ids.push(id),
                None => {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
    }
    Ok(ids)
}

/// The id in a file's name, if it is exactly as we write it.
fn id_of(name: &std::ffi::OsStr) -> Option<u64> {
    let (stem, extension) = name.to_str()?.split_once('.')?;
    if extension != OBJECT || !is_hex(stem, 16) {
        return None;
    }
    u64::from_str_radix(stem, 16).ok()
}

fn is_hex(text: &str, digits: usize) -> bool {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(lower)
}

/// Notes what a record says of a file that exists; its id in any case.
fn apply(record: Record<'_>, ids: &[u64], claims: &mut [Claim]) -> u64 {
    let (Record::Insert { id, .. } | Record::Promote { id } | Record::Remove { id }) = record;
    let claim = ids
        .binary_search(&id)
        .ok()
        .and_then(|place| claims.get_mut(place));
    let Some(claim) = claim else { return id };
    match (record, claim) {
        // Ids are used once, so nothing follows a removal but a copy that a compaction made.
        (_, Claim::Removed) => {}
        (
            Record::Insert {
                size,
                main,
                tags,
                key,
                ..
            },
            claim,
        ) => {
            *claim = Claim::Stored {
                size,
                main,
                tags: tags.to_vec(),
                key: key.into(),
            };
        }
        (Record::Promote { .. }, Claim::Stored { main, .. }) => *main = true,
        (Record::Promote { .. }, Claim::None) => {}
        (Record::Remove { .. }, claim) => *claim = Claim::Removed,
    }
    id
}

/// Reads the head of a file that the journal does not know.
fn read(directory: &Path, id: u64, files: &Files) -> Result<Recovered, ReadError> {
    let file = files.open(&path_of(directory, id, OBJECT))?;
    let (header, key, meta) = read_head(&file)?;
    let size = file.metadata()?.len();
    if header.id != id || header.file_len() != Some(size) {
        return Err(FormatError::Truncated.into());
    }
    Ok(Recovered {
        id,
        size,
        main: false,
        tags: surrogate::tags(&meta.headers),
        key: key.into(),
    })
}
