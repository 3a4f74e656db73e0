//! What a response of a private mount says to the caches between here and its reader.

use http::header::{CACHE_CONTROL, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::parameters::COOKIE_NAME;
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

/// Takes our cookie out of a request that goes on: the signature is not the origin's to see.
pub fn remove_cookie(headers: &mut HeaderMap) {
    let is_ours = |pair: &str| pair.trim().split('=').next() == Some(COOKIE_NAME);
    let lines: Vec<HeaderValue> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| {
            // What is no text cannot be taken apart, and does not go on.
            let others: Vec<&str> = line
                .to_str()
                .ok()?
                .split(';')
                .filter(|pair| !is_ours(pair))
                .collect();
            let line = others.join(";");
            (!line.trim().is_empty()).then(|| HeaderValue::try_from(line.trim()).ok())?
        })
        .collect();
    headers.remove(COOKIE);
    for line in lines {
        headers.append(COOKIE, line);
    }
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

    #[test]
    fn other_cookies_go_on() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b; edge-signature=x; c=d"),
        );
        headers.append(COOKIE, HeaderValue::from_static("edge-signature=y"));
        remove_cookie(&mut headers);
        let lines: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(lines, ["a=b; c=d"]);
    }
}
