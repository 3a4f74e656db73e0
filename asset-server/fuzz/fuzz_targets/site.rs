//! No path makes a site try a key outside of its mount, or redirect elsewhere. Run with
//! `cargo +nightly fuzz run site` in `asset-server/`.

#![no_main]

use asset_server::site::{Site, normalize, redirect_to_directory, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, bool)| {
    let (path, navigates) = input;
    let site = Site {
        index: "index.html".into(),
        not_found: Some("404.html".into()),
        single_page: Some("index.html".into()),
    };
    let Ok(path) = normalize(path) else { return };
    if !path.starts_with("/app/") {
        return;
    }
    for attempt in resolve(&site, "/app/", &path, navigates) {
        assert!(attempt.key.starts_with("/app/") && !attempt.key.ends_with('/'));
        assert!(attempt.key[1..].split('/').all(|segment| !matches!(segment, "" | "." | "..")));
    }
    let location = redirect_to_directory(&path, None);
    assert!(location.as_bytes().starts_with(b"./") && !location.as_bytes().contains(&b':'));
});
