//! No `Accept-Encoding` selects a coding that is not offered, or one twice. Run with
//! `cargo +nightly fuzz run accept_encoding` in `asset-server/`.

#![no_main]

use asset_server::respond::coding::{Accepted, Coding};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let mut headers = HeaderMap::new();
    for line in lines.iter().take(100) {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        headers.append(ACCEPT_ENCODING, value);
    }
    let accepted = Accepted::of(&headers);
    let ordered = accepted.ordered(&Coding::ALL);
    assert_eq!(accepted.select(&Coding::ALL), ordered.first().copied());
    assert!(ordered.iter().enumerate().all(|(i, coding)| !ordered[i + 1..].contains(coding)));
    assert!(accepted.select(&[Coding::Gzip]).is_none_or(|coding| coding == Coding::Gzip));
});
