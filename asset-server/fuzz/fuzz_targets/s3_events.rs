//! No event notification leads out of a mount, or panics. Run with `cargo +nightly fuzz run s3_events` in
//! `asset-server/`.

#![no_main]

use asset_server::s3_events::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(events) = parse(bytes) {
        assert!(events.len() <= bytes.len());
    }
});
