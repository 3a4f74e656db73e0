//! No manifest and no `Cache-Status` makes `warm` fall over. Run with `cargo +nightly fuzz run warm` in
//! `asset-server/`.

#![no_main]

use asset_server::warm::{cache_status, manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = cache_status::said(text);
    if let Ok(items) = manifest::parse(text) {
        assert!(items.iter().all(|item| item.path.starts_with('/')));
    }
});
