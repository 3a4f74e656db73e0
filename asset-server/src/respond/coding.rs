//! Content codings: which one a client gets, what is worth coding, and what a coded response says.
//!
//! A coded representation is another representation (RFC 9110 section 8.4): it has an entity tag of its
//! own, a length of its own, and is a variant of its own in the cache. So a coding is chosen *before* the
//! lookup, with [`Accepted::select`], and its word is part of the variant's key; every spelling of
//! `Accept-Encoding` comes down to one of four words.
//!
//! Pure, but for [`encoder`] and the body around it, which only transform bytes. Not here: transfer codings, and decoding what
//! an origin has coded, which is passed on as it is.

pub mod accept;
pub mod encoder;
pub mod entity_tag;
pub(crate) mod pieces;
pub mod precompressed;
pub mod worth;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, VARY};
use http::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use accept::Accepted;
pub use worth::{NotWorth, worth};

/// A content coding that we make.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// Zstandard (RFC 8878), with a window of at most 8 MiB (RFC 9659).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, the one we would rather make first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// The word of `Content-Encoding`, of the variant's key and of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What a pre-compressed sibling's name ends with.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Br => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// Fields that describe the bytes of the uncoded representation (RFC 9530 section 2 and 3; RFC 1864), and
/// would be wrong about coded ones.
const OF_THE_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Makes the head of the uncoded representation that of a coded one, whose length is not known yet.
pub fn describe(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    for name in &OF_THE_BYTES {
        headers.remove(name);
    }
    if let Some(tag) = headers.get(ETAG) {
        match entity_tag::coded(tag, coding) {
            Some(tag) => headers.insert(ETAG, tag),
            None => headers.remove(ETAG),
        };
    }
    vary(headers);
}

/// Says that the choice depends on `Accept-Encoding`. For the uncoded representation too, where a coded
/// one could have been chosen: else a cache downstream gives it to everyone.
pub fn vary(headers: &mut HeaderMap) {
    let named = headers.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes())
        })
    });
    if !named {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coded_head_says_nothing_of_the_uncoded_bytes() {
        let mut headers: HeaderMap = [
            ("content-length", "5000"),
            ("content-type", "text/css"),
            ("etag", "\"abc\""),
            ("repr-digest", "sha-256=:AA==:"),
            ("content-md5", "AA=="),
            ("vary", "origin"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
        describe(&mut headers, Coding::Br);
        describe_once_more_changes_no_vary(&headers);
        for (name, value) in [
            ("content-encoding", Some("br")),
            ("etag", Some("\"abc-br\"")),
            ("content-type", Some("text/css")),
            ("content-length", None),
            ("repr-digest", None),
            ("content-md5", None),
        ] {
            let found = headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(found, value, "{name}");
        }
        let varies: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(varies, ["origin", "accept-encoding"]);
    }

    fn describe_once_more_changes_no_vary(headers: &HeaderMap) {
        for known in ["*", "Origin, Accept-Encoding"] {
            let mut headers = headers.clone();
            headers.insert(VARY, HeaderValue::from_static(known));
            vary(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().count(), 1, "{known}");
        }
    }
}
