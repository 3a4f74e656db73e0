use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    });
    lines.collect()
}

/// Every algorithm's checksum of `123456789`: the check values of the CRC catalogue, and what the
/// coreutils print for the rest.
const OF_123456789: [(&str, &str); 9] = [
    ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
    ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
    (
        "x-amz-checksum-sha256",
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
    ),
    ("x-amz-checksum-crc32", "y/Q5Jg=="),
    ("x-amz-checksum-crc32c", "4waSgw=="),
    ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
    (
        "content-digest",
        "md5=:AAAA:, sha-256=:FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=:",
    ),
    (
        "repr-digest",
        "sha-256=:FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=:;x=1",
    ),
    (
        "x-amz-content-sha256",
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    ),
];

#[test]
fn every_kind_of_checksum_is_checked() {
    for (name, value) in OF_123456789 {
        let expected = Expected::of(&headers(&[(name, value)])).expect(name);
        assert!(!expected.is_empty(), "{name}");
        let mut right = Checker::new(&expected);
        right.update(b"1234");
        right.update(b"56789");
        let right = right.finish();
        let mut wrong = Checker::new(&expected);
        wrong.update(b"123456788");
        assert!(wrong.finish().is_err(), "{name}");
        assert_eq!(right, Ok(()), "{name}");
    }
}

#[test]
fn what_is_no_checksum_is_refused_and_what_is_unknown_ignored() {
    for (name, value) in [
        ("content-md5", "AAAA"),
        ("content-md5", "no base64"),
        ("content-digest", "sha-256=AAAA"),
        ("content-digest", "sha-256=:AAAA:"),
        ("x-amz-checksum-crc32", ""),
    ] {
        let refused = Expected::of(&headers(&[(name, value)]));
        assert!(
            matches!(refused, Err(DigestError::Malformed(_))),
            "{name}: {value}"
        );
    }
    for (name, value) in [
        ("content-digest", "unixsum=:AAAA:, \"odd\", x"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ] {
        let ignored = Expected::of(&headers(&[(name, value)])).expect(name);
        assert!(ignored.is_empty(), "{name}: {value}");
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_fall_over(name in 0_usize..9, value in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut map = HeaderMap::new();
            map.insert(HeaderName::from_static(OF_123456789[name].0), value);
            if let Ok(expected) = Expected::of(&map) {
                let mut checker = Checker::new(&expected);
                checker.update(b"x");
                let _ = checker.finish();
            }
        }
    }
}
