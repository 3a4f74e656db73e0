//! No path makes a key that leaves its mount. Run with `cargo +nightly fuzz run key` in `asset-server/`.

#![no_main]

use asset_server::cache::key::normalize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    if let Ok(key) = normalize(path) {
        assert!(key.starts_with('/') && !key.contains(['\\', '\0']));
        assert!(key[1..].split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    }
});
