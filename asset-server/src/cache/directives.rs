//! `Cache-Control` as a type, in responses and in requests (RFC 9111 section 5.2).

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

/// What a response says to a shared cache, in `Cache-Control` or in a field targeted at us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Section 5.2.2.5: store no part of it.
    pub no_store: bool,
    /// Section 5.2.2.7: for one user only.
    pub private: Scope,
    /// Section 5.2.2.4: ask before every use.
    pub no_cache: Scope,
    /// Section 5.2.2.2: never serve it stale.
    pub must_revalidate: bool,
    /// Section 5.2.2.8: as a shared cache, never serve it stale.
    pub proxy_revalidate: bool,
    /// Section 5.2.2.9: a shared cache may store it, whatever would forbid that otherwise.
    pub public: bool,
    /// Section 5.2.2.3: store it only if its status code is understood.
    pub must_understand: bool,
    /// Section 5.2.2.6: leave the content as it is.
    pub no_transform: bool,
    /// Section 5.2.2.1.
    pub max_age: Option<Duration>,
    /// Section 5.2.2.10; goes before `max-age` in a shared cache, and implies `proxy-revalidate`.
    pub s_maxage: Option<Duration>,
    /// RFC 5861 section 3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 section 4.
    pub stale_if_error: Option<Duration>,
}

/// How much of a response a directive is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is not there.
    #[default]
    Nothing,
    /// These fields only (the qualified form).
    Fields(Vec<HeaderName>),
    /// All of it.
    Everything,
}

impl Scope {
    /// Whether the directive is about the whole response.
    pub fn is_everything(&self) -> bool {
        *self == Self::Everything
    }

    /// The fields that the directive is limited to.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(fields) => fields,
            Self::Nothing | Self::Everything => &[],
        }
    }

    /// A second directive of the same name may only widen what the first said.
    fn widen(&mut self, argument: Option<&[u8]>) {
        let Some(argument) = argument else {
            *self = Self::Everything;
            return;
        };
        let names: Option<Vec<_>> = split_list(unquoted(argument))
            .map(|name| HeaderName::from_bytes(name).ok())
            .collect();
        match (names, &mut *self) {
            (_, Self::Everything) => {}
            (None, _) => *self = Self::Everything, // unreadable: the strict reading
            (Some(names), Self::Fields(fields)) => fields.extend(names),
            (Some(names), Self::Nothing) => *self = Self::Fields(names),
        }
    }
}

impl Directives {
    /// All `Cache-Control` lines of a response together.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for_each(headers, |name, argument| directives.add(name, argument));
        directives
    }

    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match name {
            b"no-store" => self.no_store = true,
            b"private" => self.private.widen(argument),
            b"no-cache" => self.no_cache.widen(argument),
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.public = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"max-age" => shorten(&mut self.max_age, argument),
            b"s-maxage" => shorten(&mut self.s_maxage, argument),
            b"stale-while-revalidate" => shorten(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => shorten(&mut self.stale_if_error, argument),
            _ => {} // section 5.2.3: an unknown directive is ignored
        }
    }
}

/// What a request says (section 5.2.1). All of it is advice: a mount may ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Section 5.2.1.5: keep nothing of this request or its answer.
    pub no_store: bool,
    /// Section 5.2.1.4: not without asking the origin.
    pub no_cache: bool,
    /// Section 5.2.1.7: from the cache, or 504.
    pub only_if_cached: bool,
    /// Section 5.2.1.1: not older than this.
    pub max_age: Option<Duration>,
    /// Section 5.2.1.3: fresh for this much longer.
    pub min_fresh: Option<Duration>,
    /// Section 5.2.1.2: stale by this much is fine.
    pub max_stale: Option<Duration>,
}

impl RequestDirectives {
    /// All `Cache-Control` lines of a request together.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for_each(headers, |name, argument| match name {
            b"no-store" => directives.no_store = true,
            b"no-cache" => directives.no_cache = true,
            b"only-if-cached" => directives.only_if_cached = true,
            b"max-age" => shorten(&mut directives.max_age, argument),
            b"min-fresh" => directives.min_fresh = seconds(argument),
            // Without an argument, however stale.
            b"max-stale" if argument.is_none() => directives.max_stale = Some(Duration::MAX),
            b"max-stale" => directives.max_stale = seconds(argument),
            _ => {}
        });
        directives
    }
}

/// Every directive of every line: its name in lower case, and what follows the `=`.
fn for_each(headers: &HeaderMap, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in split_list(value.as_bytes()) {
            let (name, argument) = match directive.iter().position(|b| *b == b'=') {
                Some(at) => (
                    directive[..at].trim_ascii(),
                    Some(directive[at + 1..].trim_ascii()),
                ),
                None => (directive, None),
            };
            each(&name.to_ascii_lowercase(), argument);
        }
    }
}

fn seconds(argument: Option<&[u8]>) -> Option<Duration> {
    argument.and_then(delta_seconds).map(Duration::from_secs)
}

/// Section 4.2.1: of several values the most restrictive is safe, and one that is no number means
/// stale.
fn shorten(slot: &mut Option<Duration>, argument: Option<&[u8]>) {
    let value = Duration::from_secs(argument.and_then(delta_seconds).unwrap_or(0));
    *slot = Some(slot.map_or(value, |known| known.min(value)));
}

/// Section 1.2.2: digits; what overflows counts as 2³¹ seconds. The quoted form is tolerated.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u64> {
    let text = unquoted(text);
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = text.iter().fold(0u64, |n, digit| {
        n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    Some(seconds.min(1 << 31))
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    }
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
        let none = Directives::default;
        for (lines, expected) in [
            (
                &["max-age=60"] as &[_],
                Directives {
                    max_age: seconds(60),
                    ..none()
                },
            ),
            (
                &["Max-Age = 60 , PUBLIC"],
                Directives {
                    public: true,
                    max_age: seconds(60),
                    ..none()
                },
            ),
            (
                &["max-age=\"60\""],
                Directives {
                    max_age: seconds(60),
                    ..none()
                },
            ),
            (
                &["max-age=60, max-age=30"],
                Directives {
                    max_age: seconds(30),
                    ..none()
                },
            ),
            (
                &["max-age=soon"],
                Directives {
                    max_age: seconds(0),
                    ..none()
                },
            ),
            (
                &["max-age=-1"],
                Directives {
                    max_age: seconds(0),
                    ..none()
                },
            ),
            (
                &["max-age"],
                Directives {
                    max_age: seconds(0),
                    ..none()
                },
            ),
            (
                &["max-age=99999999999999999999"],
                Directives {
                    max_age: seconds(1 << 31),
                    ..none()
                },
            ),
            (
                &["s-maxage=5", "no-cache"],
                Directives {
                    s_maxage: seconds(5),
                    no_cache: Scope::Everything,
                    ..none()
                },
            ),
            (&["ext=\"a, no-store, b\""], none()),
            (&["ext=\"a\\\", no-store\""], none()),
            (
                &["private=\"set-cookie\",,no-store"],
                Directives {
                    private: Scope::Fields(vec![http::header::SET_COOKIE]),
                    no_store: true,
                    ..none()
                },
            ),
            (
                &["proxy-revalidate"],
                Directives {
                    proxy_revalidate: true,
                    ..none()
                },
            ),
            (
                &["stale-if-error=9"],
                Directives {
                    stale_if_error: seconds(9),
                    ..none()
                },
            ),
            (&["no-storex, =, ;"], none()),
        ] {
            assert_eq!(parse(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_qualified_directive_is_about_its_fields_until_an_unqualified_one_comes() {
        let foo = || HeaderName::from_static("foo");
        for (line, expected) in [
            ("no-cache=\"foo\"", Scope::Fields(vec![foo()])),
            ("no-cache=foo", Scope::Fields(vec![foo()])),
            ("no-cache=\"foo, FOO\"", Scope::Fields(vec![foo(), foo()])),
            ("no-cache=\"foo\", no-cache", Scope::Everything),
            ("no-cache, no-cache=\"foo\"", Scope::Everything),
            ("no-cache=\"foo bar\"", Scope::Everything),
        ] {
            assert_eq!(parse(&[line]).no_cache, expected, "{line}");
        }
    }

    #[test]
    fn requests_have_directives_of_their_own() {
        let mut headers = HeaderMap::new();
        let line = "no-cache, Max-Stale, min-fresh=5, max-age=3, only-if-cached, no-store";
        headers.insert(CACHE_CONTROL, http::HeaderValue::from_static(line));
        let expected = RequestDirectives {
            no_store: true,
            no_cache: true,
            only_if_cached: true,
            max_age: Some(Duration::from_secs(3)),
            min_fresh: Some(Duration::from_secs(5)),
            max_stale: Some(Duration::MAX),
        };
        assert_eq!(RequestDirectives::of(&headers), expected);
    }
}
