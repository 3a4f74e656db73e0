//! The cache key: a request path, percent-decoded once, refused unless it is already normal.
//!
//! A key names the same object for every client, on disk and at the origin, so two spellings of one
//! path must meet in one key and no spelling may leave its mount. We refuse what is odd (`..`, `//`,
//! `%2F`) instead of repairing it: a repaired path is a second name for an object, and every layer
//! that repairs differently is a hole. The mount says what else of a request is part of the key: the
//! query or some of its parameters, headers, host and scheme. What is no part of it is not sent on.

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::request::Parts;
use percent_encoding::NON_ALPHANUMERIC;

use crate::config::{KeyPolicy, Query};
use crate::signed_url;

/// Longest path accepted, in bytes after decoding; S3 ends keys there too.
pub const MAX_LENGTH: usize = 1024;

/// Segment that we keep for ourselves in every bucket and directory.
pub const RESERVED_SEGMENT: &str = ".edge";

/// What identifies a response: the normalised path, and what else the mount counts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// The key of a path that [`normalize`] returned, or of a stored object.
    pub fn new(normal: &str) -> Self {
        Self(normal.into())
    }

    /// The key as text: the path first.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        path_of(&self.0)
    }
}

/// Lets a tier be asked with a borrowed path, so that a hit allocates nothing for its key.
impl Borrow<str> for CacheKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a path names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not start with a slash.
    #[error("the path must start with a slash")]
    NotAbsolute,
    /// It has a `%` that is not followed by two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    BrokenEncoding,
    /// It still has encoded dots, slashes or controls after it was decoded once.
    #[error("the path is percent-encoded twice")]
    EncodedTwice,
    /// Its bytes are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// It hides a slash as `%2F`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// It has a backslash.
    #[error("the path has a backslash")]
    Backslash,
    /// It has a NUL or another control character.
    #[error("the path has a control character")]
    Control,
    /// It has a `.` or `..` segment.
    #[error("the path has a dot segment")]
    DotSegment,
    /// It has two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// It is longer than [`MAX_LENGTH`].
    #[error("the path is too long")]
    TooLong,
    /// It ends with a slash, so it names a directory.
    #[error("the path names a directory, not an object")]
    Directory,
    /// It has a segment that is reserved.
    #[error("the path is reserved")]
    Reserved,
}

impl KeyError {
    /// One word for logs, metrics and the answer.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BrokenEncoding => "path_broken_encoding",
            Self::EncodedTwice => "path_encoded_twice",
            Self::NotUtf8 => "path_not_utf8",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Control => "path_control_character",
            Self::DotSegment => "path_dot_segment",
            Self::EmptySegment => "path_empty_segment",
            Self::TooLong => "path_too_long",
            Self::Directory => "path_directory",
            Self::Reserved => "path_reserved",
        }
    }

    /// Whether the path is well-formed and only names nothing (404), or is refused as such (400).
    pub const fn is_not_found(self) -> bool {
        matches!(self, Self::Directory | Self::Reserved)
    }
}

/// What ends the path in a key: control characters, which no path has. A query, a variant, a part or
/// slice, a field that counts, and a coded form begin with one of their own.
pub const ENDS_OF_PATH: [char; 5] = ['\u{1}', '\u{2}', '\u{3}', '\u{4}', CODED];

/// Before the coding of a coded form in a key: of one that we make, or that lies beside the object.
pub const CODED: char = '\u{5}';

/// The key of the sibling of `base` whose name ends with `extension`, such as `.br`. It is not the
/// sibling's own path, so that a purge of the object takes its siblings along.
pub fn of_sibling(base: &str, extension: &str) -> CacheKey {
    CacheKey::new(&format!("{base}{CODED}{extension}"))
}

/// What the name at the origin ends with besides the path, if the key is that of a sibling.
pub fn extension_of(key: &str) -> Option<&str> {
    let (_, coded) = key.split_once(CODED)?;
    let extension = coded.split(is_end_of_path).next()?;
    extension.starts_with('.').then_some(extension)
}

fn is_end_of_path(c: char) -> bool {
    c < ' '
}

/// The path of a key.
pub fn path_of(key: &str) -> &str {
    key.split(is_end_of_path).next().unwrap_or_default()
}

/// Whether `key` belongs to `base`: is the same, or a variant, a part, a slice or a coded form of it; and if `base` is
/// a path alone, of it with any query.
pub fn belongs(key: &str, base: &str) -> bool {
    key.strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(is_end_of_path))
}

/// Before the query in a key.
const QUERY: char = '\u{1}';

/// The key of a request, whose path is in normal form; borrowed if it is the path alone.
pub fn of_request<'a>(path: &'a str, request: &Parts, policy: &KeyPolicy) -> Cow<'a, str> {
    if policy.is_path_alone() {
        return Cow::Borrowed(path);
    }
    let mut key = String::with_capacity(path.len() + 64);
    key.push_str(path);
    if let Some(query) = counted_query(request.uri.query(), &policy.query) {
        key.push(QUERY);
        key.push_str(&query);
    }
    let mut field = |name: &str, value: &[u8]| {
        let _ = write!(
            key,
            "{FIELD}{name}={}",
            percent_encoding::percent_encode(value, NON_ALPHANUMERIC)
        );
    };
    for name in &policy.headers {
        for value in request.headers.get_all(name) {
            field(name.as_str(), value.as_bytes());
        }
    }
    if policy.host {
        let host = request
            .headers
            .get(http::header::HOST)
            .map(|host| host.as_bytes());
        let host = request
            .uri
            .authority()
            .map(|host| host.as_str().as_bytes())
            .or(host);
        field(":authority", &host.unwrap_or_default().to_ascii_lowercase());
    }
    if policy.scheme {
        let scheme = request
            .headers
            .get("x-forwarded-proto")
            .map(|scheme| scheme.as_bytes());
        field(":scheme", &scheme.unwrap_or(b"http").to_ascii_lowercase());
    }
    Cow::Owned(key)
}

/// Before a header, the host or the scheme in a key.
const FIELD: char = '\u{4}';

/// The part of a query that counts, which is also what goes to the origin.
pub fn counted_query<'a>(query: Option<&'a str>, counts: &Query) -> Option<Cow<'a, str>> {
    let query = query.filter(|_| *counts != Query::Ignore)?;
    // A signature is for us: it neither tells responses apart nor is it the origin's to see.
    let query = signed_url::strip(query);
    match counts {
        Query::Ignore => None,
        Query::All => (!query.is_empty()).then_some(query),
        Query::Listed(names) => {
            let mut listed = String::new();
            for name in names {
                for pair in query.split('&') {
                    if pair.split('=').next() == Some(name) {
                        if !listed.is_empty() {
                            listed.push('&');
                        }
                        listed.push_str(pair);
                    }
                }
            }
            (!listed.is_empty()).then_some(Cow::Owned(listed))
        }
    }
}

/// The normal form of a request's path; borrowed when the path is normal already, as nearly all are.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, KeyError> {
    if path.len() > 3 * MAX_LENGTH {
        return Err(KeyError::TooLong);
    }
    let normal = if path.contains('%') {
        Cow::Owned(decode(path)?)
    } else {
        Cow::Borrowed(path)
    };
    check(&normal)?;
    Ok(normal)
}

/// Percent-decodes once (RFC 3986 section 2.1), and refuses what would change meaning by it.
fn decode(path: &str) -> Result<String, KeyError> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(KeyError::BrokenEncoding);
        };
        match (high * 16 + low) as u8 {
            b'/' => return Err(KeyError::EncodedSlash),
            byte => decoded.push(byte),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| KeyError::NotUtf8)?;
    // A later layer that decodes again must not find a path in there.
    let lower = decoded.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%25", "%0", "%1"]
        .iter()
        .any(|sequence| lower.contains(sequence))
    {
        return Err(KeyError::EncodedTwice);
    }
    Ok(decoded)
}

fn check(path: &str) -> Result<(), KeyError> {
    if path.len() > MAX_LENGTH {
        return Err(KeyError::TooLong);
    }
    let Some(segments) = path.strip_prefix('/') else {
        return Err(KeyError::NotAbsolute);
    };
    for byte in segments.bytes() {
        match byte {
            b'\\' => return Err(KeyError::Backslash),
            0..0x20 | 0x7f => return Err(KeyError::Control),
            _ => {}
        }
    }
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_none() => return Err(KeyError::Directory),
            "" => return Err(KeyError::EmptySegment),
            "." | ".." => return Err(KeyError::DotSegment),
            RESERVED_SEGMENT => return Err(KeyError::Reserved),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::{KeyError, MAX_LENGTH, belongs, extension_of, normalize, of_sibling, path_of};

    #[test]
    fn an_ordinary_path_is_its_own_key_and_is_not_copied() {
        for path in [
            "/assets/a.js",
            "/a",
            "/a/.hidden/..b/c..",
            "/a/b c",
            "/é/~!$&'()*+,;=:@",
        ] {
            assert!(
                matches!(normalize(path), Ok(Cow::Borrowed(key)) if key == path),
                "{path}"
            );
        }
    }

    #[test]
    fn an_encoded_path_meets_its_plain_spelling() {
        for (path, key) in [
            ("/a%20b", "/a b"),
            ("/%61ssets/x", "/assets/x"),
            ("/caf%C3%A9", "/café"),
            ("/100%25", "/100%"),
            ("/50%25off", "/50%off"),
        ] {
            assert_eq!(normalize(path).as_deref(), Ok(key), "{path}");
        }
    }

    #[test]
    fn odd_paths_are_refused_by_name() {
        let long = format!("/{}", "a".repeat(MAX_LENGTH));
        for (path, error) in [
            ("", KeyError::NotAbsolute),
            ("*", KeyError::NotAbsolute),
            ("a/b", KeyError::NotAbsolute),
            ("/a%", KeyError::BrokenEncoding),
            ("/a%2", KeyError::BrokenEncoding),
            ("/a%zz", KeyError::BrokenEncoding),
            ("/a%+1", KeyError::BrokenEncoding),
            ("/%ff", KeyError::NotUtf8),
            ("/a%2fb", KeyError::EncodedSlash),
            ("/a%2Fb", KeyError::EncodedSlash),
            ("/..%2f..%2fetc/passwd", KeyError::EncodedSlash),
            ("/a\\b", KeyError::Backslash),
            ("/a%5cb", KeyError::Backslash),
            ("/a%00", KeyError::Control),
            ("/a%0d%0ab", KeyError::Control),
            ("/a%7f", KeyError::Control),
            ("/..", KeyError::DotSegment),
            ("/a/../b", KeyError::DotSegment),
            ("/a/./b", KeyError::DotSegment),
            ("/a/%2e%2e/b", KeyError::DotSegment),
            ("/a/.%2E/b", KeyError::DotSegment),
            ("/%252e%252e/b", KeyError::EncodedTwice),
            ("/a%252fb", KeyError::EncodedTwice),
            ("/a%2500", KeyError::EncodedTwice),
            ("//", KeyError::EmptySegment),
            ("//a", KeyError::EmptySegment),
            ("/a//b", KeyError::EmptySegment),
            ("/", KeyError::Directory),
            ("/a/", KeyError::Directory),
            ("/a/.edge/log", KeyError::Reserved),
            ("/a/%2eedge/log", KeyError::Reserved),
            (&long, KeyError::TooLong),
        ] {
            assert_eq!(normalize(path), Err(error), "{path}");
        }
    }

    #[test]
    fn coded_forms_belong_to_their_object() {
        let sibling = of_sibling("/a/app.js\u{1}v=1", ".br");
        let slice = format!("{}\u{3}0123.0", sibling.as_str());
        for key in [sibling.as_str(), &slice] {
            assert_eq!(extension_of(key), Some(".br"), "{key:?}");
            assert_eq!(path_of(key), "/a/app.js");
            assert!(belongs(key, "/a/app.js") && belongs(key, "/a/app.js\u{1}v=1"));
            assert!(!belongs(key, "/a/app") && !belongs(key, "/a/app.js.br"));
        }
        for key in [
            "/a/app.js",
            "/a/app.js.br",
            "/a/app.js\u{5}br=0123",
            "/a\u{5}",
        ] {
            assert_eq!(extension_of(key), None, "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_confined(path in "(/|[./%\\\\a-c0-9A-F\u{0}-\u{7f}é])*") {
            if let Ok(key) = normalize(&path) {
                prop_assert!(key.starts_with('/') && key.len() <= MAX_LENGTH);
                for segment in key[1..].split('/') {
                    prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                }
                prop_assert!(!key.contains(['\\', '\0']));
            }
        }

        #[test]
        fn a_key_spelled_out_again_is_the_same_key(path in "(/[a-z.%0-9 é]{1,8}){1,4}") {
            if let Ok(key) = normalize(&path) {
                let spelled = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
                    .replace("%2F", "/");
                let again = normalize(&spelled);
                prop_assert_eq!(again.as_deref(), Ok(&*key));
            }
        }
    }
}
