//! Digest fields (RFC 9530): `Repr-Digest` and `Content-Digest`, for clients that ask for them.
//!
//! SHA-256 of a representation, computed once ([`Digester`]) and kept beside it ([`Sha256`]); a response
//! only writes it out. `Content-Digest` is about the bytes of one message, so it is given with whole
//! responses, where it is the same value, and left out of parts, where it would be computed for each.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// Section 3.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Section 2.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// Section 4.
pub const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
/// Section 4.
pub const WANT_CONTENT_DIGEST: HeaderName = HeaderName::from_static("want-content-digest");

/// Key of SHA-256 in the registry of section 5. The one algorithm that is neither weak nor rare.
const SHA_256: &str = "sha-256";

/// SHA-256 of a representation, as it is sent: coded, if it is coded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

/// A digest in the making, fed as the bytes go by.
pub struct Digester(digest::Context);

/// Which fields a request wants, of those that we can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `Repr-Digest`.
    pub repr: bool,
    /// `Content-Digest`.
    pub content: bool,
}

impl Wanted {
    /// What the request's `Want-` fields come to. An algorithm that is given 0 is not wanted, and a field
    /// that is no dictionary of integers from 0 to 10 says nothing.
    pub fn of(request: &HeaderMap) -> Self {
        Self {
            repr: wants(request, &WANT_REPR_DIGEST),
            content: wants(request, &WANT_CONTENT_DIGEST),
        }
    }

    /// Whether a digest has to be at hand at all.
    pub fn any(self) -> bool {
        self.repr || self.content
    }

    /// Adds what is wanted to a response with or of the representation.
    pub fn add(self, sha_256: Sha256, status: StatusCode, headers: &mut HeaderMap) {
        let value = sha_256.field();
        if self.content && status == StatusCode::OK {
            headers.insert(CONTENT_DIGEST, value.clone());
        }
        if self.repr && (status.is_success() || status == StatusCode::NOT_MODIFIED) {
            headers.insert(REPR_DIGEST, value);
        }
    }
}

fn wants(request: &HeaderMap, name: &HeaderName) -> bool {
    // Nearly all requests end here.
    if !request.contains_key(name) {
        return false;
    }
    // RFC 9651 section 4.2: the lines of one field are one field.
    let mut field = Vec::new();
    for value in request.get_all(name) {
        if !field.is_empty() {
            field.extend_from_slice(b", ");
        }
        field.extend_from_slice(value.as_bytes());
    }
    let Ok(wishes) = Parser::new(&field).parse::<Dictionary>() else {
        return false;
    };
    let wish = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::Integer(wish) => Some(i64::from(*wish)),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    match wishes.get(SHA_256).and_then(wish) {
        Some(wish) => (1..=10).contains(&wish),
        None => false,
    }
}

impl Sha256 {
    /// A digest that was kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be kept.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The value of either field: `sha-256=:…:`.
    pub fn field(&self) -> HeaderValue {
        let value = format!("{SHA_256}=:{}:", STANDARD.encode(self.0));
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Digester {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Sha256 {
        let mut sha_256 = [0; 32];
        sha_256.copy_from_slice(self.0.finish().as_ref());
        Sha256(sha_256)
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                WANT_REPR_DIGEST,
                HeaderValue::try_from(*line).expect("a value"),
            );
        }
        Wanted::of(&headers).repr
    }

    #[test]
    fn a_wish_for_sha_256_is_granted_and_no_other() {
        for (lines, granted) in [
            (&["sha-256=1"][..], true),
            (&["sha-256=10"], true),
            (&["sha-512=9, sha-256=3;x=1"], true),
            (&["sha-512=9", "sha-256=3"], true),
            (&["sha-256=1, sha-256=0"], false), // the last one counts
            (&["sha-256=0"], false),
            (&["sha-256=11"], false),
            (&["sha-256=-1"], false),
            (&["sha-256"], false),
            (&["sha-256=(1)"], false),
            (&["sha-256=1.0"], false),
            (&["SHA-256=1"], false),
            (&["sha-512=3"], false),
            (&["sha-256=1,"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(wanted(lines), granted, "{lines:?}");
        }
    }

    /// RFC 9530 appendix B.1 gives this digest for these bytes.
    #[test]
    fn the_field_is_that_of_the_rfcs_example() {
        let mut digester = Digester::new();
        digester.update(b"{\"hello\": ");
        digester.update(b"\"world\"}\n");
        let sha_256 = digester.finish();
        let value = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(sha_256.field(), value);
        assert_eq!(Sha256::from_bytes(*sha_256.as_bytes()), sha_256);
    }

    #[test]
    fn parts_have_the_digest_of_the_whole_and_none_of_their_own() {
        let both = Wanted {
            repr: true,
            content: true,
        };
        for (status, repr, content) in [
            (StatusCode::OK, true, true),
            (StatusCode::PARTIAL_CONTENT, true, false),
            (StatusCode::NOT_MODIFIED, true, false),
            (StatusCode::RANGE_NOT_SATISFIABLE, false, false),
        ] {
            let mut headers = HeaderMap::new();
            both.add(Sha256::from_bytes([0; 32]), status, &mut headers);
            assert_eq!(headers.contains_key(REPR_DIGEST), repr, "{status}");
            assert_eq!(headers.contains_key(CONTENT_DIGEST), content, "{status}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_at_all_are_survived(line in proptest::collection::vec(32u8..=255, 0..64)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.insert(WANT_REPR_DIGEST, value);
            }
            let _ = Wanted::of(&headers);
        }
    }
}
