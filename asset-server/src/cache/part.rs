//! Parts of a representation that an HTTP origin sent as such (RFC 9111 sections 3.3 and 3.4). Pure.
//!
//! One part of each key is kept. Ranges inside of it are cut out of it, and a part that starts at the
//! first byte can be completed. Large objects of a store are another matter: those are kept in slices.

use std::ops::Range;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, VARY};

use super::entry::Meta;
use super::key::CacheKey;
use crate::respond::range::{self, Selection};

/// Begins what is added to the key of a part.
const PART: &str = "\u{3}part";

/// The key that the part of `base` is kept under.
pub fn key_of(base: &CacheKey) -> CacheKey {
    CacheKey::new(&format!("{}{PART}", base.as_str()))
}

/// Which bytes of how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes.
    pub bytes: Range<u64>,
    /// Bytes of the whole.
    pub total: u64,
}

impl ContentRange {
    /// Reads `bytes 0-499/1234` (RFC 9110 section 14.4). One of unknown total length is of no use here.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u64>().ok())?
        };
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        let bytes = first..last.checked_add(1)?;
        (first <= last && last < total).then_some(Self { bytes, total })
    }
}

/// Whether a 206 says one thing about itself: its length is that of its range. A part of something that
/// varies would need a key of its own; so few do that it is not kept.
pub fn is_sound(headers: &HeaderMap) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let range = ContentRange::of(headers).map(|part| part.bytes.end - part.bytes.start);
    range.is_some() && range == length && !headers.contains_key(VARY)
}

/// The bytes of a stored part that a request asks for, counted from the start of the part, and what they
/// are of the whole. `None` if the part does not have them all.
pub fn cut(meta: &Meta, request: &HeaderMap) -> Option<(Range<u64>, ContentRange)> {
    let part = ContentRange::of(&meta.headers)?;
    if !meta.validators.allows_range(request) {
        return None;
    }
    let Selection::One(wanted) = range::select(request, part.total) else {
        return None;
    };
    let inside = part.bytes.start <= wanted.start && wanted.end <= part.bytes.end;
    inside.then(|| {
        let start = part.bytes.start;
        let content_range = ContentRange {
            bytes: wanted.clone(),
            total: part.total,
        };
        (wanted.start - start..wanted.end - start, content_range)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_range_says_which_bytes_of_how_many() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                CONTENT_RANGE,
                HeaderValue::from_str(value).expect("a value"),
            );
            ContentRange::of(&headers).map(|part| (part.bytes, part.total))
        };
        assert_eq!(of("bytes 0-4/10"), Some((0..5, 10)));
        assert_eq!(of("bytes 4-9/10"), Some((4..10, 10)));
        for wrong in [
            "bytes 4-10/10",
            "bytes 5-4/10",
            "bytes 0-4/*",
            "bytes */10",
            "bytes=0-4/10",
            "lines 0-4/10",
            "bytes 0-18446744073709551615/18446744073709551615",
            "bytes +0-4/10",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_harm(value in "(bytes )?[-0-9/* ]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(&value).expect("a value"));
            if let Some(part) = ContentRange::of(&headers) {
                prop_assert!(part.bytes.start < part.bytes.end && part.bytes.end <= part.total);
            }
        }
    }
}
