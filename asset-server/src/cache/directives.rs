//! `Cache-Control` as a type (RFC 9111 section 5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// What a response's `Cache-Control` says to a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Section 5.2.2.5: store no part of it.
    pub no_store: bool,
    /// Section 5.2.2.7: for one user only. The form with field names is taken as the plain one.
    pub private: bool,
    /// Section 5.2.2.4: ask before every use. The form with field names is taken as the plain one.
    pub no_cache: bool,
    /// Sections 5.2.2.2 and 5.2.2.8: never serve it stale.
    pub must_revalidate: bool,
    /// Section 5.2.2.1.
    pub max_age: Option<Duration>,
    /// Section 5.2.2.10; goes before `max-age` in a shared cache, and implies `proxy-revalidate`.
    pub s_maxage: Option<Duration>,
    /// RFC 5861 section 4.
    pub stale_if_error: Option<Duration>,
}

impl Directives {
    /// All `Cache-Control` lines of a response together.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for directive in split_list(value.as_bytes()) {
                directives.add(directive);
            }
        }
        directives
    }

    fn add(&mut self, directive: &[u8]) {
        let (name, argument) = match directive.iter().position(|b| *b == b'=') {
            Some(at) => (
                directive[..at].trim_ascii(),
                Some(directive[at + 1..].trim_ascii()),
            ),
            None => (directive, None),
        };
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"private" => self.private = true,
            b"no-cache" => self.no_cache = true,
            b"must-revalidate" | b"proxy-revalidate" => self.must_revalidate = true,
            b"max-age" => shorten(&mut self.max_age, argument),
            b"s-maxage" => shorten(&mut self.s_maxage, argument),
            b"stale-if-error" => shorten(&mut self.stale_if_error, argument),
            _ => {} // section 5.2.3: an unknown directive is ignored
        }
    }
}

/// Section 4.2.1: of several values the most restrictive is safe, and one that is no number means
/// stale.
fn shorten(slot: &mut Option<Duration>, argument: Option<&[u8]>) {
    let value = Duration::from_secs(argument.and_then(delta_seconds).unwrap_or(0));
    *slot = Some(slot.map_or(value, |known| known.min(value)));
}

/// Section 1.2.2: digits; what overflows counts as 2³¹ seconds. The quoted form is tolerated.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u64> {
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = text.iter().fold(0u64, |n, digit| {
        n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    Some(seconds.min(1 << 31))
}

/// The members of a comma-separated list, with quoted strings kept whole (RFC 9110 section 5.6.1).
pub(crate) fn split_list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        let comma = *byte == b',' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        comma
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&'static str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, http::HeaderValue::from_static(line));
        }
        Directives::of(&headers)
    }

    #[test]
    fn directives_are_read_whatever_their_spelling() {
        let seconds = |n| Some(Duration::from_secs(n));
        let none = Directives::default();
        for (lines, expected) in [
            (
                &["max-age=60"] as &[_],
                Directives {
                    max_age: seconds(60),
                    ..none
                },
            ),
            (
                &["Max-Age = 60 , PUBLIC"],
                Directives {
                    max_age: seconds(60),
                    ..none
                },
            ),
            (
                &["max-age=\"60\""],
                Directives {
                    max_age: seconds(60),
                    ..none
                },
            ),
            (
                &["max-age=60, max-age=30"],
                Directives {
                    max_age: seconds(30),
                    ..none
                },
            ),
            (
                &["max-age=soon"],
                Directives {
                    max_age: seconds(0),
                    ..none
                },
            ),
            (
                &["max-age=-1"],
                Directives {
                    max_age: seconds(0),
                    ..none
                },
            ),
            (
                &["max-age"],
                Directives {
                    max_age: seconds(0),
                    ..none
                },
            ),
            (
                &["max-age=99999999999999999999"],
                Directives {
                    max_age: seconds(1 << 31),
                    ..none
                },
            ),
            (
                &["s-maxage=5", "no-cache"],
                Directives {
                    s_maxage: seconds(5),
                    no_cache: true,
                    ..none
                },
            ),
            (&["ext=\"a, no-store, b\""], none),
            (&["ext=\"a\\\", no-store\""], none),
            (
                &["private=\"set-cookie\",,no-store"],
                Directives {
                    private: true,
                    no_store: true,
                    ..none
                },
            ),
            (
                &["proxy-revalidate"],
                Directives {
                    must_revalidate: true,
                    ..none
                },
            ),
            (
                &["stale-if-error=9"],
                Directives {
                    stale_if_error: seconds(9),
                    ..none
                },
            ),
            (&["no-storex, =, ;"], none),
        ] {
            assert_eq!(parse(lines), expected, "{lines:?}");
        }
    }
}
