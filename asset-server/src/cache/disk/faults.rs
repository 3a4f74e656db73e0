//! A file system that fails when a test says so.

use std::io;
use std::sync::Mutex;

/// Which operations fail.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    done: u64,
    from: u64,
    until: u64,
    kind: Option<io::ErrorKind>,
}

impl Faults {
    /// `count` operations fail, after `after` more have gone well.
    pub(super) fn fail(&self, after: u64, count: u64, kind: io::ErrorKind) {
        let mut state = self.0.lock().expect("no panic");
        state.from = state.done + after;
        state.until = state.from.saturating_add(count);
        state.kind = Some(kind);
    }

    /// All is well from now on.
    pub(super) fn end(&self) {
        self.0.lock().expect("no panic").kind = None;
    }

    /// Operations so far.
    pub(super) fn done(&self) -> u64 {
        self.0.lock().expect("no panic").done
    }

    pub(super) fn next(&self) -> io::Result<()> {
        let mut state = self.0.lock().expect("no panic");
        let number = state.done;
        state.done += 1;
        match state.kind {
            Some(kind) if (state.from..state.until).contains(&number) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}
