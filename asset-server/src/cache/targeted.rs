//! Targeted cache control, `CDN-Cache-Control` above all (RFC 9213): directives meant for one class of
//! caches, written as a Structured Field dictionary (RFC 9651).
//!
//! Where a targeted field can be used, it stands in for `Cache-Control` and `Expires` together. One
//! that cannot be parsed, or has no member, is as good as absent.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::directives::{Directives, Scope};

/// The field for content delivery networks, RFC 9213 section 3.1.
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives of the first field of `target_list` that can be used (RFC 9213 section 2.2).
pub fn directives(headers: &HeaderMap, target_list: &[HeaderName]) -> Option<Directives> {
    target_list.iter().find_map(|name| {
        let lines: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        let dictionary: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
        (!dictionary.is_empty()).then(|| read(&dictionary))
    })
}

/// RFC 9213 section 2.1: a member of the wrong type is ignored, and so are parameters.
fn read(dictionary: &Dictionary) -> Directives {
    let flag = |name: &str| bare(dictionary, name) == Some(&BareItem::Boolean(true));
    let span = |name: &str| match bare(dictionary, name) {
        Some(BareItem::Integer(seconds)) => {
            let seconds = u64::try_from(i64::from(*seconds)).unwrap_or(0);
            Some(Duration::from_secs(seconds.min(1 << 31)))
        }
        _ => None,
    };
    let scope = |name: &str| match flag(name) {
        true => Scope::Everything,
        false => Scope::Nothing,
    };
    Directives {
        no_store: flag("no-store"),
        private: scope("private"),
        no_cache: scope("no-cache"),
        must_revalidate: flag("must-revalidate"),
        proxy_revalidate: flag("proxy-revalidate"),
        public: flag("public"),
        must_understand: flag("must-understand"),
        no_transform: flag("no-transform"),
        max_age: span("max-age"),
        s_maxage: span("s-maxage"),
        stale_while_revalidate: span("stale-while-revalidate"),
        stale_if_error: span("stale-if-error"),
    }
}

fn bare<'a>(dictionary: &'a Dictionary, name: &str) -> Option<&'a BareItem> {
    match dictionary.get(name)? {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> Option<Directives> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_CACHE_CONTROL, http::HeaderValue::from_static(line));
        }
        directives(&headers, &[CDN_CACHE_CONTROL])
    }

    #[test]
    fn only_a_valid_dictionary_counts() {
        for unusable in [
            &[] as &[_],
            &[""],
            &["max-age=60, &&&"],
            &["MaX-AgE=60"],
            &["max-age =60"],
            &["max-age= 60"],
            &["max-age=60,"],
        ] {
            assert_eq!(of(unusable), None, "{unusable:?}");
        }
        let max_age = |lines| of(lines).and_then(|directives| directives.max_age);
        assert_eq!(max_age(&["max-age=60"]), Some(Duration::from_secs(60)));
        assert_eq!(
            max_age(&["foo, max-age=60;a=b"]),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            max_age(&["max-age=1", "max-age=60"]),
            Some(Duration::from_secs(60))
        );
        assert_eq!(max_age(&["max-age=-1"]), Some(Duration::ZERO));
        assert_eq!(
            max_age(&["max-age=99999999999"]),
            Some(Duration::from_secs(1 << 31))
        );
        assert_eq!(max_age(&["max-age=\"60\""]), None);
        assert_eq!(max_age(&["max-age=60.0"]), None);
        let flags = of(&["no-store, private, no-cache=?0"]);
        let expected = Directives {
            no_store: true,
            private: Scope::Everything,
            ..Directives::default()
        };
        assert_eq!(flags, Some(expected));
    }
}
