//! Reloads when a file changes. Notifications come from the *directories*, because files are
//! replaced by renaming and mounted configuration swaps a symbolic link; a slow look at inode,
//! size and time of each file is the net below.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::db::GeoDb;
use crate::sources::{Fingerprint, fingerprint};

/// How often the files are looked at when nothing was notified.
const POLL: Duration = Duration::from_secs(30);
/// A copy in progress sends many notifications: reload once it has been quiet for this long.
const SETTLE: Duration = Duration::from_millis(200);

/// Keeps the watch alive; dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    wake: Sender<Wake>,
    thread: Option<JoinHandle<()>>,
    _notifications: Option<RecommendedWatcher>,
}

enum Wake {
    Changed,
    Stop,
}

/// The watch could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the thread that watches the geo data")]
pub struct WatchError(#[source] std::io::Error);

impl GeoDb {
    /// Starts a thread that calls [`reload`](GeoDb::reload) whenever a source file changes, and
    /// logs what came of it. Where directories cannot be watched, only the poll every 30 seconds
    /// remains, and a warning says so. With no files there is nothing to do but wait.
    ///
    /// # Errors
    ///
    /// No thread could be started.
    pub fn watch(&self) -> Result<Watcher, WatchError> {
        let (wake, woken) = mpsc::channel();
        let notifications = match notify_directories(self, wake.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the geo data directories, polling them instead");
                None
            }
        };
        let db = self.clone();
        // Taken here, not in the thread: a change from now on is seen.
        let seen = fingerprints(&db);
        let thread = thread::Builder::new().name("geo-db-watch".to_owned());
        let thread = thread
            .spawn(move || watch(&db, seen, &woken))
            .map_err(WatchError)?;
        Ok(Watcher {
            wake,
            thread: Some(thread),
            _notifications: notifications,
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Fails only if the thread has ended, which is what is wanted.
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn notify_directories(db: &GeoDb, wake: Sender<Wake>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_| {
        // The receiver is gone only when the watch has ended.
        let _ = wake.send(Wake::Changed);
    })?;
    let mut directories: Vec<PathBuf> = db.sources().paths().map(directory_of).collect();
    directories.sort_unstable();
    directories.dedup();
    for directory in directories {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn fingerprints(db: &GeoDb) -> Vec<Option<Fingerprint>> {
    db.sources().paths().map(fingerprint).collect()
}

fn watch(db: &GeoDb, mut seen: Vec<Option<Fingerprint>>, woken: &Receiver<Wake>) {
    loop {
        match woken.recv_timeout(POLL) {
            Ok(Wake::Changed) => {
                if settled(woken).is_break() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = fingerprints(db);
        if now != seen {
            // A broken file is tried once, not at every poll until someone repairs it.
            seen = now;
            reload(db);
        }
    }
}

/// Waits until nothing has changed for a while.
fn settled(woken: &Receiver<Wake>) -> std::ops::ControlFlow<()> {
    loop {
        match woken.recv_timeout(SETTLE) {
            Ok(Wake::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return std::ops::ControlFlow::Continue(()),
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => {
                return std::ops::ControlFlow::Break(());
            }
        }
    }
}

fn reload(db: &GeoDb) {
    match db.reload() {
        Ok(reloaded) => tracing::info!(sources = reloaded.info.sources.len(), "geo data reloaded"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "geo data not reloaded, the old tables stay in service");
        }
    }
}
