//! No `Range` header selects bytes that are not there. Run with `cargo +nightly fuzz run range` in
//! `asset-server/`.

#![no_main]

use asset_server::respond::range::{Selection, select};
use http::header::RANGE;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (length, header) = input;
    let Ok(value) = HeaderValue::from_bytes(header) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(RANGE, value);
    let ranges = match select(&headers, length) {
        Selection::Full | Selection::Unsatisfiable => return,
        Selection::One(range) => vec![range],
        Selection::Several(ranges) => ranges,
    };
    assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
});
