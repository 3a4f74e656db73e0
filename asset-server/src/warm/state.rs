//! What a run has done already, so that one that was interrupted can go on: a file with one mark a line.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use http::Uri;
use sha2::{Digest as _, Sha256};

use super::Item;
use crate::store::hex;

/// Hex digits of a mark: 128 bits.
const LENGTH: usize = 32;

/// The marks of what is done.
pub struct State {
    done: HashSet<String>,
    file: Option<Mutex<File>>,
}

impl State {
    /// Remembers nothing.
    pub fn none() -> Self {
        Self {
            done: HashSet::new(),
            file: None,
        }
    }

    /// Begins a new file.
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self {
            done: HashSet::new(),
            file: Some(Mutex::new(File::create(path)?)),
        })
    }

    /// Goes on with a file, if it is there.
    pub fn resume(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        if !text.is_empty() && !text.ends_with('\n') {
            // The last line was cut off; what comes must not be added to it.
            file.write_all(b"\n")?;
        }
        Ok(Self {
            done: marks(&text).map(str::to_owned).collect(),
            file: Some(Mutex::new(file)),
        })
    }

    /// Whether that was done by an earlier run.
    pub fn has(&self, mark: &str) -> bool {
        self.done.contains(mark)
    }

    /// Remembers it for a later one.
    pub fn add(&self, mark: &str) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{mark}\n").as_bytes())
    }
}

/// Lines that are marks; a kill in the middle of writing leaves one that is not.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    let is_mark = |line: &&str| line.len() == LENGTH && line.bytes().all(|b| b.is_ascii_hexdigit());
    text.lines().filter(is_mark)
}

/// Names an item at a server. An item that is described otherwise has another mark.
pub fn mark_of(target: &Uri, item: &Item) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{target}\n{item:?}"));
    let mut mark = hex(&hash.finalize());
    mark.truncate(LENGTH);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_after_a_line_that_was_cut_off() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("state");
        let target = Uri::from_static("http://a/");
        let mark = |path: &str| {
            let item = Item {
                path: path.into(),
                size: None,
                etag: None,
                sha256: None,
            };
            mark_of(&target, &item)
        };
        let state = State::begin(&path).expect("a file");
        state.add(&mark("/a")).expect("written");
        drop(state);
        let mut cut = std::fs::read_to_string(&path).expect("text");
        cut.push_str(&mark("/b")[..10]);
        std::fs::write(&path, cut).expect("written");
        let state = State::resume(&path).expect("a file");
        assert!(state.has(&mark("/a")) && !state.has(&mark("/b")));
        state.add(&mark("/c")).expect("written");
        drop(state);
        let state = State::resume(&path).expect("a file");
        assert!(state.has(&mark("/a")) && state.has(&mark("/c")));
        assert!(!State::begin(&path).expect("a file").has(&mark("/a")));
    }
}
