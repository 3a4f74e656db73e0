//! The index on disk: a file to which every change is appended, so that a start need not open each
//! object.
//!
//! It is a hint and never the truth. Which files exist is what the folders say; what is in a file is
//! checked when it is opened. A journal that lies, is torn, or is missing costs reading heads of
//! files. So nothing is synced, and a failed append is only logged. A removal is recorded before the
//! file is deleted, so that a crash in between brings nothing back.
//!
//! When it has grown to several times what it was after the last compaction, the index is written anew
//! beside it, page by page, while changes go to both; then it takes its place by a rename.

pub mod record;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use self::record::Record;
use super::files::Files;

/// The journal in the tier's directory.
pub const NAME: &str = "journal";

/// A journal being written anew.
const NEXT: &str = "journal.new";

/// Growth below which compaction is not worth it.
const LEAST_GROWTH: u64 = 4 << 20;

/// Appends records.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    files: Arc<Files>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` if it cannot be opened.
    file: Option<File>,
    len: u64,
    compact_at: u64,
    /// What was appended since a compaction began.
    meanwhile: Option<Vec<u8>>,
    failing: bool,
}

/// A compaction under way.
#[derive(Debug)]
pub(super) struct Compaction {
    file: File,
    len: u64,
}

impl Journal {
    /// Goes on with the journal of a directory, or begins one. Blocks.
    pub(super) fn open(directory: &Path, files: Arc<Files>) -> Self {
        let file = files.append_to(&directory.join(NAME));
        if let Err(error) = &file {
            tracing::warn!(%error, "there is no journal, so the next start reads the head of every file");
        }
        let file = file.ok();
        let len = file
            .as_ref()
            .and_then(|file| Some(file.metadata().ok()?.len()))
            .unwrap_or(0);
        Self {
            directory: directory.to_owned(),
            files,
            state: Mutex::new(State {
                file,
                len,
                compact_at: compact_at(len),
                meanwhile: None,
                failing: false,
            }),
        }
    }

    /// Appends records, all at once. Whether a compaction is due. Blocks.
    pub(super) fn append<'a>(&self, records: impl IntoIterator<Item = Record<'a>>) -> bool {
        let mut bytes = Vec::new();
        for record in records {
            record.encode(&mut bytes);
        }
        if bytes.is_empty() {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meanwhile) = &mut state.meanwhile {
            meanwhile.extend_from_slice(&bytes);
        }
        state.len += bytes.len() as u64;
        let Some(file) = &mut state.file else {
            return false;
        };
        match self.files.append(file, &bytes) {
            Ok(()) => state.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut state.failing, true) {
                    tracing::warn!(%error, "the journal cannot be written, so the next start reads heads of files");
                }
            }
        }
        state.len >= state.compact_at && state.meanwhile.is_none()
    }

    /// Begins to write the journal anew. `None` if another thread does so, or the disk fails. Blocks.
    pub(super) fn begin_compaction(&self) -> Option<Compaction> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.meanwhile.is_some() {
            return None;
        }
        // Whatever happens, the next attempt comes only after more growth.
        state.compact_at = state.len.saturating_mul(2).max(compact_at(0));
        let path = self.directory.join(NEXT);
        let _ = self.files.remove(&path);
        match self.files.create(&path) {
            Ok(file) => {
                state.meanwhile = Some(Vec::new());
                Some(Compaction { file, len: 0 })
            }
            Err(error) => {
                tracing::warn!(%error, "the journal cannot be compacted");
                None
            }
        }
    }

    /// Ends a compaction, which takes the old journal's place if all went well. Blocks.
    pub(super) fn end_compaction(&self, compaction: Option<Compaction>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let meanwhile = state.meanwhile.take().unwrap_or_default();
        let next = self.directory.join(NEXT);
        let replaced = compaction.and_then(|mut compaction| {
            compaction.write(&self.files, &meanwhile)?;
            let file = self.files.append_to(&next).ok()?;
            self.files.rename(&next, &self.directory.join(NAME)).ok()?;
            Some((file, compaction.len))
        });
        match replaced {
            Some((file, len)) => {
                state.file = Some(file);
                state.len = len;
                state.compact_at = compact_at(len);
                state.failing = false;
            }
            None => {
                tracing::warn!("the journal could not be compacted");
                let _ = self.files.remove(&next);
            }
        }
    }

    /// Writes to the journal that is to come. `None` if the disk fails. Blocks.
    pub(super) fn write(&self, compaction: &mut Compaction, bytes: &[u8]) -> Option<()> {
        compaction.write(&self.files, bytes)
    }
}

impl Compaction {
    fn write(&mut self, files: &Files, bytes: &[u8]) -> Option<()> {
        self.len += bytes.len() as u64;
        files.append(&mut self.file, bytes).ok()
    }
}

fn compact_at(len: u64) -> u64 {
    len.saturating_mul(3).max(LEAST_GROWTH)
}
