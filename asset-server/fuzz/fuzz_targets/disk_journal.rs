//! No bytes make reading the disk tier's journal panic, and what is read once is read again. Run with
//! `cargo +nightly fuzz run disk_journal` in `asset-server/`.

#![no_main]

use asset_server::cache::disk::journal::record::{Summary, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut summary, mut written) = (Summary::default(), Vec::new());
    let read = read_all(bytes, &mut summary, |record| record.encode(&mut written));
    assert!(read.is_ok() && summary.skipped <= bytes.len() as u64);
    let mut again = Summary::default();
    let read = read_all(&written[..], &mut again, |_| {});
    assert!(read.is_ok() && again.records == summary.records && again.skipped == 0);
});
