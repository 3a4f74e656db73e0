//! Tells when one of a set of files changes.
//!
//! The *directories* are watched, because editors and Kubernetes replace files instead of writing to
//! them (a mounted ConfigMap swaps a symlink). A slow look at the files themselves is the net below it,
//! for file systems that send no events.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Changes that come in one burst count as one.
const QUIET: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_secs(5);

/// Watches `files`; [`Changes::next`] completes each time at least one of them has changed.
pub fn files(files: Vec<PathBuf>) -> Changes {
    let (sender, events) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_| {
        // Full means a wake-up is already on its way.
        let _ = sender.try_send(());
    });
    let watcher = watcher
        .and_then(|mut watcher| {
            for directory in directories(&files) {
                watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        })
        .inspect_err(
            |error| tracing::warn!(%error, "no file events here, so changes are found by polling"),
        )
        .ok();
    let seen = fingerprint(&files);
    Changes {
        files,
        seen,
        events,
        _watcher: watcher,
    }
}

/// The stream of changes to a set of files.
#[derive(Debug)]
pub struct Changes {
    files: Vec<PathBuf>,
    seen: Vec<Fingerprint>,
    events: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// Completes when the content of one of the files may be different from before.
    pub async fn next(&mut self) {
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(()) => tokio::time::sleep(QUIET).await,
                    None => tokio::time::sleep(POLL).await,
                },
                () = tokio::time::sleep(POLL) => {}
            }
            let now = fingerprint(&self.files);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

type Fingerprint = Option<(SystemTime, u64, u64)>;

fn fingerprint(files: &[PathBuf]) -> Vec<Fingerprint> {
    use std::os::unix::fs::MetadataExt as _;
    files
        .iter()
        .map(|file| {
            let meta = std::fs::metadata(file).ok()?;
            Some((meta.modified().ok()?, meta.len(), meta.ino()))
        })
        .collect()
}

fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |file: &PathBuf| match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    files.iter().map(parent).collect()
}
