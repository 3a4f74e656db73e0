//! The harness of the whole-system tests: worlds of real gateway processes on free ports around a real
//! S3 protocol store, and clients placed by country.

#![allow(clippy::panic, reason = "in a harness a panic is the report")]

mod answer;

mod link;

pub mod mesh;

mod pebble;

mod process;

mod world;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use self::answer::Answer;
pub use self::link::Link;
pub use self::pebble::{Pebble, Txt};
pub use self::process::Gateway;
pub use self::world::{Client, TestWorld};

/// How long anything may take that is waited for. Only a failure takes that long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; `what` names it in the failure.
///
/// # Panics
///
/// When it does not hold in time.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An address where connections are taken and nobody ever answers, until the test's process ends.
///
/// # Panics
///
/// When no port is free.
pub fn silent_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::mem::forget(listener);
    address
}

/// A program of this workspace, built beside the running test.
///
/// # Panics
///
/// When it has not been built.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let directory = test
        .ancestors()
        .nth(2)
        .expect("tests are built in target/PROFILE/deps");
    let program = directory.join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first",
        program.display()
    );
    program
}
