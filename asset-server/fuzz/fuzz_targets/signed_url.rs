//! No query and no cookie is granted without a key, and what is stripped stays stripped. Run with
//! `cargo +nightly fuzz run signed_url` in `asset-server/`.

#![no_main]

use std::time::{Duration, SystemTime};

use asset_server::signed_url::{Claim, Keys, SigningKey, strip, verify};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use serving::secret::Secret;

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (path, query, cookie) = input;
    let Ok(key) = SigningKey::new("k", &Secret::new("0123456789abcdef0123456789abcdef")) else { return };
    let keys = Keys::new(vec![key], Duration::ZERO);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(cookie) {
        headers.insert(COOKIE, value);
    }
    let claim = Claim { method: &Method::GET, path, query: Some(query), headers: &headers, client: None };
    assert!(verify(&keys, &claim, SystemTime::UNIX_EPOCH).is_err());
    let stripped = strip(query);
    assert!(stripped.len() <= query.len());
    assert_eq!(strip(&stripped), stripped);
});
