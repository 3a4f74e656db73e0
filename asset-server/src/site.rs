//! Buckets that hold a site: which objects stand for a path, and with which status.
//!
//! Between the path and the cache: [`resolve`] gives the keys to try, in order, and what to answer with the
//! first that is there. An object store knows no directories, so `/docs/` is tried as `/docs/index.html`,
//! and `/docs` is redirected to `/docs/` if that object is there. Pure; that a key is missing is found by
//! the ordinary path of a request, and remembered there.
//!
//! Not here: rewriting of any other kind (the gateway's routes), and what is in a listing.

use std::borrow::Cow;

use arrayvec::ArrayVec;
use http::header::{ACCEPT, HeaderValue};
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cache::directives::split_list;
use crate::cache::key::{self, KeyError};

/// How a mount that holds a site answers for what is no object. Names are keys below the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Object that stands for a directory.
    pub index: String,
    /// Object that is sent with 404.
    pub not_found: Option<String>,
    /// Object that is sent, with 200, to a browser that navigates to what is no object: the app finds out
    /// from the URL what to show.
    pub single_page: Option<String>,
}

impl Site {
    /// The key that nearly always answers: the path itself, or the index of a directory.
    pub fn first<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match path.ends_with('/') {
            true => Cow::Owned(format!("{path}{}", self.index)),
            false => Cow::Borrowed(path),
        }
    }
}

/// One key to try, and what to do if it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Normalised path of the object, mount included.
    pub key: Cow<'a, str>,
    /// What to answer with.
    pub then: Then,
}

/// What to answer if a key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The object, with this status. With another than 200, neither conditions nor ranges apply
    /// (RFC 9110 sections 13.2.1 and 14.2).
    Serve(StatusCode),
    /// 301 to the same path with a slash, see [`redirect_to_directory`]. The object itself is not needed.
    Redirect,
}

/// The keys to try for a path, best first. If none is there, the answer is the plain 404.
pub type Attempts<'a> = ArrayVec<Attempt<'a>, 3>;

/// The path of a request to a site, with a slash at its end allowed; else as [`key::normalize`] has it.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, KeyError> {
    match key::normalize(path) {
        Err(KeyError::Directory) if path == "/" => Ok(Cow::Borrowed("/")),
        Err(KeyError::Directory) => {
            let (without, _) = path.split_at(path.len() - 1);
            Ok(Cow::Owned(format!("{}/", key::normalize(without)?)))
        }
        normal => normal,
    }
}

/// What to try for a path that [`normalize`] returned and that is below `mount`.
///
/// `navigates` is what [`is_navigation`] says of the request.
pub fn resolve<'a>(site: &Site, mount: &str, path: &'a str, navigates: bool) -> Attempts<'a> {
    let mut attempts = Attempts::new();
    let serve = |key: Cow<'a, str>, status| Attempt {
        key,
        then: Then::Serve(status),
    };
    attempts.push(serve(site.first(path), StatusCode::OK));
    if !path.ends_with('/') {
        attempts.push(Attempt {
            key: format!("{path}/{}", site.index).into(),
            then: Then::Redirect,
        });
    }
    let fallback = match (&site.single_page, &site.not_found) {
        (Some(page), _) if navigates => Some((page, StatusCode::OK)),
        (_, Some(page)) => Some((page, StatusCode::NOT_FOUND)),
        _ => None,
    };
    if let Some((page, status)) = fallback {
        attempts.push(serve(format!("{mount}{page}").into(), status));
    }
    attempts
}

/// Whether the answer for what is no object depends on `Accept`, and must say so in `Vary`.
pub fn varies_by_accept(site: &Site) -> bool {
    site.single_page.is_some()
}

/// Whether a browser shows the answer as a page: it lists `text/html` by name. Scripts, styles, images and
/// `fetch()` do not, and must get their 404 instead of a page that they cannot parse.
pub fn is_navigation(request: &HeaderMap) -> bool {
    let lines = request.get_all(ACCEPT).iter();
    lines
        .flat_map(|line| split_list(line.as_bytes()))
        .any(|range| {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let html = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(b"text/html"));
            html && !parts.any(|parameter| {
                let refused = parameter
                    .strip_prefix(b"q=")
                    .or(parameter.strip_prefix(b"Q="));
                refused.is_some_and(|q| q.iter().all(|byte| matches!(byte, b'0' | b'.')))
            })
        })
}

/// `Location` of the same path with a slash.
///
/// It is relative to the request and starts with `./`: whatever prefix a proxy in front has taken off stays
/// in place, and no path, however it is spelled, can become another scheme or host. The query is kept.
pub fn redirect_to_directory(path: &str, query: Option<&str>) -> HeaderValue {
    /// All but what a path segment may hold and no client reads as something else.
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    let segment = path.rsplit('/').next().unwrap_or_default();
    let mut location = format!("./{}/", utf8_percent_encode(segment, &ESCAPED));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        location.push('?');
        location.push_str(query);
    }
    HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("./"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(not_found: &str, single_page: &str) -> Site {
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Site {
            index: "index.html".into(),
            not_found: name(not_found),
            single_page: name(single_page),
        }
    }

    fn tried(site: &Site, path: &str, navigates: bool) -> Vec<String> {
        let attempts = resolve(site, "/app/", path, navigates);
        let words = attempts.into_iter().map(|attempt| match attempt.then {
            Then::Serve(status) => format!("{} {}", attempt.key, status.as_u16()),
            Then::Redirect => format!("{} redirect", attempt.key),
        });
        words.collect()
    }

    #[test]
    fn a_path_is_tried_as_object_then_directory_then_fallback() {
        let plain = site("", "");
        assert_eq!(tried(&plain, "/app/", true), ["/app/index.html 200"]);
        assert_eq!(
            tried(&plain, "/app/a.js", true),
            ["/app/a.js 200", "/app/a.js/index.html redirect"]
        );
        let pages = site("404.html", "");
        assert_eq!(
            tried(&pages, "/app/docs/", true),
            ["/app/docs/index.html 200", "/app/404.html 404"]
        );
        let app = site("404.html", "index.html");
        assert_eq!(
            tried(&app, "/app/users/7", true),
            [
                "/app/users/7 200",
                "/app/users/7/index.html redirect",
                "/app/index.html 200"
            ]
        );
        assert_eq!(
            tried(&app, "/app/users/7", false),
            [
                "/app/users/7 200",
                "/app/users/7/index.html redirect",
                "/app/404.html 404"
            ]
        );
    }

    #[test]
    fn only_who_names_html_navigates() {
        for (accept, navigates) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("TEXT/HTML;q=0.1", true),
            ("text/html;level=1", true),
            ("text/html;q=0", false),
            ("text/html;q=0.000", false),
            ("*/*", false),
            ("text/*", false),
            ("image/avif,image/webp,*/*;q=0.8", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(is_navigation(&headers), navigates, "{accept}");
        }
        assert!(!is_navigation(&HeaderMap::new()));
    }

    #[test]
    fn a_redirect_stays_on_this_host() {
        for (path, query, location) in [
            ("/app/docs", None, "./docs/"),
            ("/app/docs", Some(""), "./docs/"),
            ("/app/docs", Some("v=1&x=//evil"), "./docs/?v=1&x=//evil"),
            ("/evil.example", None, "./evil.example/"),
            ("/https:evil.example", None, "./https%3Aevil.example/"),
            ("/a b/é\"<", None, "./%C3%A9%22%3C/"),
        ] {
            assert_eq!(redirect_to_directory(path, query), location, "{path}");
        }
    }

    #[test]
    fn directories_are_normal_only_if_the_path_before_the_slash_is() {
        for (path, expected) in [
            ("/", Ok("/")),
            ("/app/", Ok("/app/")),
            ("/a%20b/", Ok("/a b/")),
            ("/app/x", Ok("/app/x")),
            ("//", Err(KeyError::EmptySegment)),
            ("/app//", Err(KeyError::EmptySegment)),
            ("/app/../", Err(KeyError::DotSegment)),
            ("//evil.example/", Err(KeyError::EmptySegment)),
            ("/.edge/", Err(KeyError::Reserved)),
        ] {
            assert_eq!(normalize(path).as_deref(), expected.as_deref(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_tried_is_a_key_below_the_mount(path in "/app/([./%\\\\a-cA-F0-9é]{0,12}/?){0,4}", navigates in any::<bool>()) {
            let Ok(path) = normalize(&path) else { return Ok(()) };
            prop_assume!(path.starts_with("/app/"));
            for attempt in resolve(&site("404.html", "index.html"), "/app/", &path, navigates) {
                prop_assert!(attempt.key.starts_with("/app/"));
                // The index of a path of the greatest length is longer than a key may be, and so is not there.
                let again = key::normalize(&attempt.key.replace('%', "%25")).map(|key| key.into_owned());
                prop_assert!(matches!(again.as_deref(), Ok(key) if key == attempt.key) || again == Err(KeyError::TooLong), "{:?}", again);
            }
            let location = redirect_to_directory(&path, None);
            let text = location.to_str().expect("ASCII");
            prop_assert!(text.starts_with("./") && !text[2..].contains(':') && !text.contains('\\'));
        }
    }
}
