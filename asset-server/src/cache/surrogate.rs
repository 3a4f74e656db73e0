//! Surrogate keys: names that an origin gives its responses, so that all that have one can be purged
//! together. Pure.
//!
//! `Surrogate-Key: a b c` is a convention that several caches share. The field stays with the stored
//! headers; clients are not sent it, other asset servers are.

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

/// The field.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// A surrogate key as it is remembered of a file: the first bytes of its SHA-256. Two keys with the
/// same ones are purged together, which costs a fetch.
pub type Tag = [u8; 8];

/// The tag of a surrogate key.
pub fn tag(key: &[u8]) -> Tag {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// The surrogate keys of a response, as they stand there.
pub fn keys(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(SURROGATE_KEY).iter();
    let words = values.flat_map(|value| value.as_bytes().split(u8::is_ascii_whitespace));
    words.filter(|word| !word.is_empty())
}

/// The tags of a response, each once, in order.
pub fn tags(headers: &HeaderMap) -> Vec<Tag> {
    let mut tags: Vec<Tag> = keys(headers).map(tag).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The field alone, for what has it from another response.
pub(crate) fn of_another(headers: &HeaderMap) -> HeaderMap {
    let values = headers.get_all(SURROGATE_KEY).iter().cloned();
    let with_name = |value: HeaderValue| (SURROGATE_KEY, value);
    let mut own = HeaderMap::new();
    for (name, value) in values.map(with_name) {
        own.append(name, value);
    }
    own
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SURROGATE_KEY, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn keys_are_words_of_all_lines() {
        let headers = headers(&["a  bc\td ", "", "a"]);
        let found: Vec<_> = keys(&headers).collect();
        assert_eq!(found, [&b"a"[..], b"bc", b"d", b"a"]);
        assert_eq!(tags(&headers).len(), 3);
        assert_eq!(of_another(&headers), headers);
    }

    proptest! {
        #[test]
        fn no_value_makes_it_fall_over(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(SURROGATE_KEY, value)]);
                prop_assert!(tags(&headers).len() <= keys(&headers).count());
                prop_assert!(keys(&headers).all(|key| tags(&headers).contains(&tag(key))));
            }
        }
    }
}
