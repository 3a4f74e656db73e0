//! Every request has an id: the one a trusted proxy sent, or a new one.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

/// Carries the id on requests and responses.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a proxy, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request. A client's own is taken only if `trusted`, so that nobody outside can make two
/// requests look like one in our logs.
pub fn of(headers: &HeaderMap, trusted: bool) -> HeaderValue {
    let acceptable = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= MAX_LENGTH && bytes.iter().all(u8::is_ascii_graphic)
    };
    headers
        .get(REQUEST_ID)
        .filter(|_| trusted)
        .filter(acceptable)
        .cloned()
        .unwrap_or_else(mint)
}

/// 128 random bits in hexadecimal.
fn mint() -> HeaderValue {
    let bits = fastrand::u128(..);
    let mut text = [0_u8; 32];
    for (place, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(bits >> (4 * place)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{REQUEST_ID, of};

    #[test]
    fn an_id_is_taken_over_only_from_who_may_give_one() {
        let with =
            |id: &str| HeaderMap::from_iter([(REQUEST_ID, HeaderValue::try_from(id).unwrap())]);
        assert_eq!(of(&with("abc-1"), true), "abc-1");
        for (headers, trusted) in [
            (with("abc-1"), false),
            (with("a b"), true),
            (with(""), true),
            (with(&"x".repeat(129)), true),
        ] {
            let id = of(&headers, trusted);
            assert_eq!(id.len(), 32, "{id:?}");
        }
        assert_ne!(of(&HeaderMap::new(), true), of(&HeaderMap::new(), true));
    }
}
