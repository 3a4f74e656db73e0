//! No bytes make opening a data file panic. The first byte chooses the reader by file name.
//! Run with `cargo +nightly fuzz run open` in `geo-db/`.

#![no_main]

use geo_db::{GeoDb, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let name = if kind % 2 == 0 { "any.mmdb" } else { "any.csv" };
    let Ok(directory) = tempfile::tempdir() else { return };
    let path = directory.path().join(name);
    if std::fs::write(&path, bytes).is_ok() {
        let _ = GeoDb::open(&Sources { databases: vec![path], ..Sources::default() });
    }
});
