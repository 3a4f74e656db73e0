//! No `Origin` outside of a domain is taken for one inside, and no preflight panics. Run with
//! `cargo +nightly fuzz run cors` in `asset-server/`.

#![no_main]

use std::time::Duration;

use asset_server::respond::cors::{Decision, Policy, Terms};
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (origin, method, names) = input;
    let list = |text: &str| vec![text.to_owned()];
    let policy = Policy::new(&Terms {
        allowed_origins: &list("https://*.example.com"),
        allowed_methods: &list("GET"),
        allowed_headers: &list("range"),
        exposed_headers: &[],
        max_age: Duration::ZERO,
        allow_credentials: true,
    });
    let Ok(policy) = policy else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (ORIGIN, origin),
        (ACCESS_CONTROL_REQUEST_METHOD, method),
        (ACCESS_CONTROL_REQUEST_HEADERS, names),
    ] {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.insert(name, value);
    }
    if let Decision::Allowed(origin) = policy.decide(&Method::GET, &headers) {
        assert!(origin.as_bytes().starts_with(b"https://") && origin.as_bytes().ends_with(b".example.com"));
    }
    if let Decision::Preflight(preflight) = policy.decide(&Method::OPTIONS, &headers) {
        let _ = policy.answer_preflight(preflight);
    }
});
