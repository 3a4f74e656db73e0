//! No `Retry-After` header silences a store for longer than five minutes. Run with
//! `cargo +nightly fuzz run retry_after` in `asset-server/`.

#![no_main]

use std::time::{Duration, SystemTime};

use asset_server::origin::retry_after;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (now, value) = input;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(now));
    assert!(retry_after(value, now).is_none_or(|wait| wait <= Duration::from_secs(300)));
});
