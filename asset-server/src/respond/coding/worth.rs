//! What is worth coding on the fly.

use std::ops::RangeInclusive;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::cache::directives::split_list;

/// Why a response goes out as it is. One word each, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWorth {
    /// Not a whole representation: a part, an error, or nothing.
    Partial,
    /// The origin has coded it already.
    Coded,
    /// `Cache-Control: no-transform` (RFC 9111 section 5.2.2.6).
    NoTransform,
    /// A type that does not compress, or must not be held up.
    Type,
    /// Shorter or longer than what is coded.
    Length,
}

impl NotWorth {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Coded => "coded",
            Self::NoTransform => "no_transform",
            Self::Type => "type",
            Self::Length => "length",
        }
    }
}

/// Whether a response of the origin is worth coding. An unknown length is.
pub fn worth(
    status: StatusCode,
    headers: &HeaderMap,
    length: Option<u64>,
    lengths: &RangeInclusive<u64>,
) -> Result<(), NotWorth> {
    if status != StatusCode::OK || headers.contains_key(CONTENT_RANGE) {
        return Err(NotWorth::Partial);
    }
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !plain(value))
    {
        return Err(NotWorth::Coded);
    }
    let fixed = |value: &http::HeaderValue| {
        split_list(value.as_bytes()).any(|d| d.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    };
    if headers.get_all(CACHE_CONTROL).iter().any(fixed) {
        return Err(NotWorth::NoTransform);
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    if !compresses(content_type) {
        return Err(NotWorth::Type);
    }
    if length.is_some_and(|length| !lengths.contains(&length)) {
        return Err(NotWorth::Length);
    }
    Ok(())
}

/// Whether content of a type is text, or as loose as text. Everything unknown is not: model weights,
/// images, video and archives gain nothing and cost most.
pub fn compresses(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let mut lower = [0; 64];
    let essence = essence.trim_ascii();
    let Some(lower) = lower.get_mut(..essence.len()) else {
        return false;
    };
    lower.copy_from_slice(essence);
    lower.make_ascii_lowercase();
    match &*lower {
        // Events must leave one by one.
        b"text/event-stream" => false,
        b"application/javascript"
        | b"application/json"
        | b"application/manifest+json"
        | b"application/rtf"
        | b"application/toml"
        | b"application/vnd.ms-fontobject"
        | b"application/wasm"
        | b"application/x-javascript"
        | b"application/x-ndjson"
        | b"application/x-ipynb+json"
        | b"application/xml"
        | b"application/yaml"
        | b"font/otf"
        | b"font/ttf"
        | b"image/bmp"
        | b"image/x-icon"
        | b"image/vnd.microsoft.icon" => true,
        other => {
            other.starts_with(b"text/") || other.ends_with(b"+json") || other.ends_with(b"+xml")
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const LENGTHS: RangeInclusive<u64> = 1024..=16 << 20;

    #[test]
    fn what_compresses_and_may_be_changed_is_worth_it() {
        let js = ("content-type", "text/javascript; charset=utf-8");
        for (lines, length, expected) in [
            (&[js][..], Some(2000), Ok(())),
            (&[js], None, Ok(())),
            (&[js], Some(1024), Ok(())),
            (&[js], Some(1023), Err(NotWorth::Length)),
            (&[js], Some((16 << 20) + 1), Err(NotWorth::Length)),
            (
                &[js, ("content-encoding", "gzip")],
                Some(2000),
                Err(NotWorth::Coded),
            ),
            (&[js, ("content-encoding", "identity")], Some(2000), Ok(())),
            (
                &[js, ("cache-control", "max-age=5, No-Transform")],
                Some(2000),
                Err(NotWorth::NoTransform),
            ),
            (
                &[js, ("content-range", "bytes 0-1/2")],
                Some(2000),
                Err(NotWorth::Partial),
            ),
            (&[], Some(2000), Err(NotWorth::Type)),
            (
                &[("content-type", "application/octet-stream")],
                Some(2000),
                Err(NotWorth::Type),
            ),
        ] {
            let headers: HeaderMap = lines
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(
                worth(StatusCode::OK, &headers, length, &LENGTHS),
                expected,
                "{lines:?} {length:?}"
            );
            let part = worth(StatusCode::PARTIAL_CONTENT, &headers, length, &LENGTHS);
            assert_eq!(part, Err(NotWorth::Partial));
        }
    }

    #[test]
    fn text_and_its_like_compress_and_nothing_else() {
        for (content_type, expected) in [
            ("text/html", true),
            ("Text/CSS ; charset=utf-8", true),
            ("image/svg+xml", true),
            ("application/ld+json", true),
            ("application/wasm", true),
            ("text/event-stream", false),
            ("image/png", false),
            ("application/gzip", false),
            ("application/vnd.apache.parquet", false),
            ("", false),
            ("texts/html", false),
        ] {
            assert_eq!(
                compresses(content_type.as_bytes()),
                expected,
                "{content_type}"
            );
        }
        assert!(!compresses(&[b'a'; 1000]));
    }
}
