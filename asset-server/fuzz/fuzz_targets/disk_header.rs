//! No bytes make reading a cache file's head panic. Run with `cargo +nightly fuzz run disk_header` in
//! `asset-server/`.

#![no_main]

use asset_server::cache::disk::format::{HEADER, Header, decode_meta, decode_table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::decode(bytes) else { return };
    let rest = &bytes[HEADER..];
    let _ = decode_meta(&header, rest);
    let _ = decode_table(&header, rest);
});
