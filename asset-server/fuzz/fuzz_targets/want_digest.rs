//! No `Want-Repr-Digest` makes its parser panic. Run with `cargo +nightly fuzz run want_digest` in
//! `asset-server/`.

#![no_main]

use asset_server::respond::digest::{WANT_REPR_DIGEST, Wanted};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(line) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(WANT_REPR_DIGEST, value);
    let wanted = Wanted::of(&headers);
    assert!(!wanted.content && wanted.any() == wanted.repr);
});
