//! What a response of a private mount says to the caches between here and its reader.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::directives::split_list;

/// Fields that speak to shared caches alone (RFC 9213, and what came before it).
const TARGETED: [HeaderName; 3] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("edge-control"),
];

/// Makes the response one for its reader's own cache: `private` is added, and what invites a shared
/// cache is taken out.
///
/// Always, even though the URL carries the permission: a shared cache downstream would go on giving the
/// object after the expiry, and to clients of any network; and with a cookie the URL says nothing. We
/// are the shared cache, and we ask before each hit. `max-age` stays: who has read a file may keep it.
pub fn keep_private(headers: &mut HeaderMap) {
    for name in &TARGETED {
        headers.remove(name);
    }
    let mut directives = vec!["private".to_owned()];
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in split_list(value.as_bytes()) {
            let Ok(directive) = std::str::from_utf8(directive) else {
                continue;
            };
            let name = directive.split('=').next().unwrap_or_default().trim();
            let public = ["public", "private", "s-maxage", "proxy-revalidate"]
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other));
            if !public && !directive.is_empty() {
                directives.push(directive.to_owned());
            }
        }
    }
    let value =
        HeaderValue::try_from(directives.join(", ")).unwrap_or(HeaderValue::from_static("private"));
    headers.insert(CACHE_CONTROL, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_readers_own_cache_is_left_invited() {
        for (before, after) in [
            (&[][..], "private"),
            (&["public, max-age=60, s-maxage=600"], "private, max-age=60"),
            (&["max-age=5", "Public"], "private, max-age=5"),
            (&["no-store"], "private, no-store"),
            (
                &["private=\"set-cookie, x\", immutable"],
                "private, immutable",
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=600"));
            for line in before {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            keep_private(&mut headers);
            let lines: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(lines, [after], "{before:?}");
            assert!(!headers.contains_key("cdn-cache-control"));
        }
    }
}
