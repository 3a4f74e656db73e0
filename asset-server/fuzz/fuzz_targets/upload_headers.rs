//! No checksum header and no list of parts makes an upload fall over. Run with
//! `cargo +nightly fuzz run upload_headers` in `asset-server/`.

#![no_main]

use asset_server::store::digest::{Checker, Expected};
use asset_server::store::passthrough::xml;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["content-md5", "content-digest", "x-amz-checksum-crc32", "x-amz-content-sha256"];

fuzz_target!(|input: (u8, &[u8])| {
    let (name, bytes) = input;
    if let Ok(parts) = xml::completion(bytes) {
        assert!(parts.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(NAMES[usize::from(name) % NAMES.len()]), value);
    if let Ok(expected) = Expected::of(&headers) {
        let mut checker = Checker::new(&expected);
        checker.update(bytes);
        let _ = checker.finish();
    }
});
