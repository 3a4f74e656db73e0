//! Requests from other caches: loops, and purges that we may not have heard of. Pure.

use http::{HeaderMap, HeaderName};

use crate::error::Error;
use crate::purge_log::id::PurgeId;

/// `CDN-Loop`, RFC 8586.
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The newest purges that whoever asks has applied. Its answer must not be older than they.
pub(crate) const PURGES: HeaderName = HeaderName::from_static("edge-purges");

/// What every asset server's name in `CDN-Loop` begins with.
const OURS: &str = "asset-";

/// Whether another asset server asks. Refuses a request that has been here already, and one from a cache
/// that knows of purges that `knows` does not.
pub(crate) fn from_another_cache(
    headers: &HeaderMap,
    name: &str,
    knows: impl Fn(PurgeId) -> bool,
) -> Result<bool, Error> {
    let mut from_another = false;
    for id in cdn_ids(headers) {
        if id.eq_ignore_ascii_case(name) {
            return Err(Error::Loop);
        }
        from_another |= id.starts_with(OURS);
    }
    let values = headers.get_all(PURGES).iter();
    let ids = values.filter_map(|value| value.to_str().ok());
    let mut ids = ids
        .flat_map(|value| value.split(','))
        .filter_map(|id| id.trim().parse().ok());
    match ids.all(knows) {
        true => Ok(from_another),
        false => Err(Error::PurgesMissing),
    }
}

/// Whether the request says that it comes from another asset server.
pub(crate) fn is_asset_server(headers: &HeaderMap) -> bool {
    cdn_ids(headers).any(|id| id.starts_with(OURS))
}

/// The `cdn-id` of each `cdn-info`, without its parameters (section 2).
fn cdn_ids(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CDN_LOOP).iter();
    let infos = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    infos
        .filter_map(|info| info.split(';').next())
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn judge(cdn_loop: &[&str], purges: &str) -> Result<bool, &'static str> {
        let mut headers = HeaderMap::new();
        for value in cdn_loop {
            headers.append(CDN_LOOP, value.parse().expect("a value"));
        }
        headers.insert(PURGES, purges.parse().expect("a value"));
        let known = PurgeId::new(UNIX_EPOCH, 1);
        from_another_cache(&headers, "asset-ams3", |id| id == known).map_err(|e| e.verdict().1)
    }

    #[test]
    fn who_has_passed_is_read_whatever_else_is_said() {
        let known = PurgeId::new(UNIX_EPOCH, 1).to_string();
        let unknown = PurgeId::new(UNIX_EPOCH, 2).to_string();
        for (cdn_loop, purges, expected) in [
            (&[][..], "", Ok(false)),
            (&["example-cdn; v=1"], "", Ok(false)),
            (&["example-cdn", "asset-nyc3"], &known, Ok(true)),
            (&["a, asset-nyc3;x=\"1\" ,b"], "", Ok(true)),
            (&["a, asset-ams3"], "", Err("loop")),
            (&["ASSET-AMS3 ; hops=2"], "", Err("loop")),
            (&["asset-ams3-2"], "", Ok(true)),
            (&["asset-nyc3"], &unknown, Err("purges_missing")),
            (&["asset-nyc3"], "nonsense, , 7", Ok(true)),
        ] {
            assert_eq!(judge(cdn_loop, purges), expected, "{cdn_loop:?} {purges}");
        }
    }

    proptest! {
        #[test]
        fn hostile_headers_do_no_harm(one in prop::collection::vec(any::<u8>(), 0..80), other in "\\PC{0,80}") {
            let mut headers = HeaderMap::new();
            for (name, bytes) in [(CDN_LOOP, &one[..]), (PURGES, other.as_bytes())] {
                if let Ok(value) = HeaderValue::from_bytes(bytes) {
                    headers.append(name, value);
                }
            }
            let _ = from_another_cache(&headers, "asset-ams3", |_| true);
        }
    }
}
