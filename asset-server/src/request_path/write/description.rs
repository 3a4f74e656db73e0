//! What the headers of a write say: about the object, and when it may be written. Pure.

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};

use super::WriteError;
use crate::cache::directives::split_list;
use crate::store::{Attributes, Condition, ObjectStore, StoreError};

/// Before the name of user metadata.
const USER: &str = "x-amz-meta-";

/// Bytes of all user metadata, names and values; S3 takes no more.
const MOST_USER: usize = 2048;

/// What is said about an object.
pub(super) fn attributes(headers: &HeaderMap) -> Result<Attributes, WriteError> {
    let field = |name: HeaderName| lines(headers, &name);
    let expires = field(EXPIRES)?;
    if expires
        .as_deref()
        .is_some_and(|date| httpdate::parse_http_date(date).is_err())
    {
        return Err(WriteError::Request("Expires is no HTTP date"));
    }
    let mut attributes = Attributes {
        content_type: field(CONTENT_TYPE)?,
        cache_control: field(CACHE_CONTROL)?,
        content_encoding: field(CONTENT_ENCODING)?,
        content_disposition: field(CONTENT_DISPOSITION)?,
        content_language: field(CONTENT_LANGUAGE)?,
        expires,
        ..Attributes::default()
    };
    let mut size = 0;
    for name in headers.keys() {
        if let Some(user) = name
            .as_str()
            .strip_prefix(USER)
            .filter(|user| !user.is_empty())
            && let Some(value) = lines(headers, name)?
        {
            size += user.len() + value.len();
            attributes.user.insert(user.to_owned(), value);
        }
    }
    match size <= MOST_USER {
        true => Ok(attributes),
        false => Err(WriteError::Request(
            "the x-amz-meta- headers are longer than 2048 bytes",
        )),
    }
}

/// A field that may have several lines.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, WriteError> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(name) {
        let wrong = WriteError::Request("a header of the object is not ASCII");
        let text = value.to_str().map_err(|_| wrong)?;
        match &mut joined {
            None => joined = Some(text.to_owned()),
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(text);
            }
        }
    }
    Ok(joined)
}

/// Refuses bodies that are not the object itself, which would be stored as if they were.
pub(super) fn refuse_other_bodies(headers: &HeaderMap) -> Result<(), WriteError> {
    let chunked = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|line| split_list(line.as_bytes()))
        .any(|coding| coding.eq_ignore_ascii_case(b"aws-chunked"));
    let payload = headers.get("x-amz-content-sha256");
    if chunked || payload.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-")) {
        return Err(WriteError::Unsupported(
            "signed chunks (aws-chunked) are not taken: send the object as it is",
        ));
    }
    if headers
        .keys()
        .any(|name| name.as_str().starts_with("x-amz-copy-source"))
    {
        return Err(WriteError::Unsupported(
            "copying is not done here: send the object",
        ));
    }
    // RFC 9110 section 14.5.
    if headers.contains_key(CONTENT_RANGE) {
        return Err(WriteError::Request(
            "a part of an object cannot be replaced",
        ));
    }
    Ok(())
}

/// Bytes that the body will have, if that is said.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, WriteError> {
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = WriteError::Request("Content-Length is no number");
    length.map(Some).ok_or(wrong)
}

/// When a write may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Always.
    None,
    /// If there is no such object.
    Absent,
    /// If there is one.
    Exists,
    /// If it has one of these tags. A weak one is never the same (RFC 9110 section 13.1.1).
    Tags(Vec<String>),
}

impl Precondition {
    /// What a request says (RFC 9110 section 13.1). Conditions that cannot be kept are refused, since the
    /// client relies on them.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, WriteError> {
        if headers.contains_key(IF_MODIFIED_SINCE) || headers.contains_key(IF_UNMODIFIED_SINCE) {
            return Err(WriteError::Request(
                "dates are too coarse to write by: use If-Match or If-None-Match",
            ));
        }
        let none_match = lines(headers, &IF_NONE_MATCH)?;
        let Some(tags) = lines(headers, &IF_MATCH)? else {
            return match none_match.as_deref().map(str::trim) {
                None => Ok(Self::None),
                Some("*") => Ok(Self::Absent),
                Some(_) => Err(WriteError::Request("If-None-Match can only be * here")),
            };
        };
        if none_match.is_some() {
            return Err(WriteError::Request(
                "If-Match and If-None-Match contradict each other",
            ));
        }
        if tags.trim() == "*" {
            return Ok(Self::Exists);
        }
        let mut listed = Vec::new();
        for tag in split_list(tags.as_bytes()) {
            let tag = std::str::from_utf8(tag).unwrap_or_default().trim();
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            if opaque.len() < 2 || !opaque.starts_with('"') || !opaque.ends_with('"') {
                return Err(WriteError::Request("If-Match holds no entity tag"));
            }
            listed.push(tag.to_owned());
        }
        match listed.is_empty() {
            true => Err(WriteError::Request("If-Match holds no entity tag")),
            false => Ok(Self::Tags(listed)),
        }
    }

    /// The condition for a store, which knows only one tag; and whether the object is new, as far as that
    /// can be said before.
    pub(super) async fn ask(
        self,
        store: &dyn ObjectStore,
        key: &str,
    ) -> Result<(Condition, Option<bool>), StoreError> {
        let current = match self {
            Self::Absent => return Ok((Condition::Absent, Some(true))),
            // Only to say 201 or 200, so a failure is not one of the write.
            Self::None => {
                let head = store.head(key).await;
                return Ok((Condition::Always, head.ok().map(|head| head.is_none())));
            }
            Self::Exists | Self::Tags(_) => {
                store.head(key).await?.ok_or(StoreError::Precondition)?
            }
        };
        let condition = match (self, current.etag) {
            (Self::Tags(tags), Some(etag)) if tags.contains(&etag) => Condition::Match(etag),
            (Self::Exists, Some(etag)) => Condition::Match(etag),
            (Self::Exists, None) => Condition::Match("*".into()),
            _ => return Err(StoreError::Precondition),
        };
        Ok((condition, Some(false)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn headers_become_attributes() {
        let said = attributes(&headers(&[
            ("content-type", "model/x"),
            ("cache-control", "max-age=60"),
            ("cache-control", "public"),
            ("x-amz-meta-owner", "ml"),
            ("x-amz-acl", "public-read"),
            ("expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ]))
        .expect("attributes");
        assert_eq!(said.cache_control.as_deref(), Some("max-age=60, public"));
        assert_eq!(said.user.get("owner").map(String::as_str), Some("ml"));
        assert_eq!(said.user.len(), 1);
        assert!(attributes(&headers(&[("expires", "0")])).is_err());
        let mut long = HeaderMap::new();
        let value = HeaderValue::try_from("x".repeat(MOST_USER)).expect("a value");
        long.insert("x-amz-meta-a", value);
        assert!(attributes(&long).is_err());
    }

    #[test]
    fn conditions_are_kept_or_refused() {
        let tags = |tags: &[&str]| {
            Ok(Precondition::Tags(
                tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ))
        };
        for (pairs, expected) in [
            (&[][..], Ok(Precondition::None)),
            (&[("if-none-match", "*")], Ok(Precondition::Absent)),
            (&[("if-match", "*")], Ok(Precondition::Exists)),
            (
                &[("if-match", "\"a,b\", W/\"c\"")],
                tags(&["\"a,b\"", "W/\"c\""]),
            ),
            (
                &[("if-match", "\"a\""), ("if-match", "\"b\"")],
                tags(&["\"a\"", "\"b\""]),
            ),
            (&[("if-match", "a")], Err("bad_write")),
            (&[("if-match", "")], Err("bad_write")),
            (&[("if-none-match", "\"a\"")], Err("bad_write")),
            (
                &[("if-match", "*"), ("if-none-match", "*")],
                Err("bad_write"),
            ),
            (
                &[("if-unmodified-since", "Thu, 01 Jan 2037 00:00:00 GMT")],
                Err("bad_write"),
            ),
        ] {
            let found = Precondition::of(&headers(pairs)).map_err(|error| error.verdict().1);
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn bodies_that_are_not_the_object_are_refused() {
        for pair in [
            ("content-encoding", "aws-chunked, gzip"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-copy-source", "/a/b"),
            ("content-range", "bytes 0-1/2"),
        ] {
            assert!(refuse_other_bodies(&headers(&[pair])).is_err(), "{pair:?}");
        }
        assert!(refuse_other_bodies(&headers(&[("content-encoding", "gzip")])).is_ok());
    }

    proptest! {
        #[test]
        fn no_header_makes_it_fall_over(name in 0..10usize, value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let names = ["if-match", "if-none-match", "expires", "content-type", "content-length", "x-amz-meta-", "x-amz-meta-a", "content-encoding", "content-range", "cache-control"];
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(names[name]), value);
            let _ = (attributes(&headers), Precondition::of(&headers), length(&headers), refuse_other_bodies(&headers));
        }
    }
}
