//! Siblings that a build has compressed already: `app.js.br` beside `app.js`.

use arrayvec::ArrayVec;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::Coding;
use super::accept::Accepted;
use super::worth::compresses;
use crate::respond::content_type;

/// What to look for at the origin, in place of the plain object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Key of the sibling.
    pub key: String,
    /// How it is coded.
    pub coding: Coding,
}

/// Order in which siblings are tried where the client has no preference: a build compresses once, and so
/// takes Brotli's best, which is the smallest.
const ORDER: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

/// The siblings of a key that this client takes, best first. None for keys whose type does not compress:
/// nobody compresses a `.png`, and asking the origin would cost a request.
pub fn siblings(key: &str, accepted: Accepted) -> ArrayVec<Sibling, 3> {
    if !may_have_siblings(key) {
        return ArrayVec::new();
    }
    accepted
        .ordered(&ORDER)
        .into_iter()
        .map(|coding| Sibling {
            key: format!("{key}{}", coding.extension()),
            coding,
        })
        .collect()
}

/// The key that a key would be a sibling of.
pub fn plain_of(key: &str) -> Option<&str> {
    let mut extensions = Coding::ALL.into_iter().map(Coding::extension);
    extensions.find_map(|extension| key.strip_suffix(extension))
}

/// The coding of siblings whose names end like this.
pub fn coding_of(extension: &str) -> Option<Coding> {
    let mut all = Coding::ALL.into_iter();
    all.find(|coding| coding.extension() == extension)
}

/// Whether an object of this key may have siblings.
pub fn may_have_siblings(key: &str) -> bool {
    compresses(content_type::guess(key).as_bytes())
}

/// Makes the head of a sibling that of a form of the plain object at `key`.
pub fn describe(headers: &mut HeaderMap, key: &str, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.insert(CONTENT_TYPE, content_type(key));
    super::vary(headers);
}

/// The type of a sibling is that of the plain object: the store says `application/gzip`, which is what
/// it holds, not what it stands for.
pub fn content_type(key: &str) -> HeaderValue {
    content_type::guess(key)
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT_ENCODING;

    use super::*;

    fn keys(key: &str, accept: &'static str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        let siblings = siblings(key, Accepted::of(&headers));
        siblings.into_iter().map(|sibling| sibling.key).collect()
    }

    #[test]
    fn siblings_are_tried_as_the_client_likes_them() {
        for (key, accept, expected) in [
            (
                "/a/app.js",
                "gzip, br, zstd",
                &["/a/app.js.br", "/a/app.js.zst", "/a/app.js.gz"][..],
            ),
            (
                "/a/app.js",
                "br;q=0.5, gzip",
                &["/a/app.js.gz", "/a/app.js.br"],
            ),
            ("/a/app.js", "identity", &[]),
            ("/a/app.js", "*;q=0", &[]),
            ("/a/logo.png", "gzip, br", &[]),
            ("/a/app.js.br", "gzip, br", &[]),
            ("/a/model.safetensors", "gzip, br", &[]),
        ] {
            assert_eq!(keys(key, accept), expected, "{key} {accept}");
        }
        assert_eq!(plain_of("app.js.zst"), Some("app.js"));
        assert_eq!(plain_of("app.js"), None);
        assert_eq!(coding_of(".gz"), Some(Coding::Gzip));
        assert_eq!(coding_of(".js"), None);
        assert_eq!(content_type("/a/app.js"), "text/javascript; charset=utf-8");
    }
}
