//! Preconditions of a request against what we hold (RFC 9110 section 13). Pure.

use std::time::{Duration, SystemTime};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::directives::split_list;
use crate::cache::freshness::http_date;

/// What a stored representation is compared by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its entity tag, quotes and `W/` included.
    pub etag: Option<HeaderValue>,
    /// Its `Last-Modified`.
    pub last_modified: Option<SystemTime>,
    /// Its `Date`.
    pub date: Option<SystemTime>,
}

/// How the preconditions came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: a condition does not hold.
    Failed,
}

impl Validators {
    /// The entity tag if it is strong, so that bytes of one version can be told from another's.
    pub fn strong_etag(&self) -> Option<&HeaderValue> {
        self.etag.as_ref().filter(|etag| is_strong(etag.as_bytes()))
    }

    /// Section 13.2.2, for GET and HEAD: the order of evaluation, without `Range`.
    pub fn evaluate(&self, request: &HeaderMap) -> Verdict {
        let matches = |name: HeaderName, weak| {
            request
                .contains_key(&name)
                .then(|| self.any_etag_matches(request, &name, weak))
        };
        let holds = match matches(IF_MATCH, false) {
            Some(holds) => holds, // step 1
            None => match (self.last_modified, date(request, IF_UNMODIFIED_SINCE)) {
                (Some(modified), Some(date)) => modified <= date, // step 2
                _ => true,
            },
        };
        if !holds {
            return Verdict::Failed;
        }
        let changed = match matches(IF_NONE_MATCH, true) {
            Some(matches) => !matches, // step 3
            // RFC 9111 section 4.3.2: a response without `Last-Modified` is as old as its `Date`.
            None => match (
                self.last_modified.or(self.date),
                date(request, IF_MODIFIED_SINCE),
            ) {
                (Some(modified), Some(date)) => modified > date, // step 4
                _ => true,
            },
        };
        if changed {
            Verdict::Proceed
        } else {
            Verdict::NotModified
        }
    }

    /// Step 5, section 13.1.5: whether a `Range` may be answered with a part. A weak tag never
    /// matches; a date only if it is the exact one, and old enough to be a strong validator
    /// (section 8.8.2.2).
    pub fn allows_range(&self, request: &HeaderMap) -> bool {
        let Some(condition) = request.get(IF_RANGE).map(|v| v.as_bytes()) else {
            return true;
        };
        if condition.starts_with(b"\"") || condition.starts_with(b"W/") {
            return self
                .strong_etag()
                .is_some_and(|etag| etag.as_bytes() == condition);
        }
        match (self.last_modified, self.date, http_date(Some(condition))) {
            (Some(modified), Some(sent), Some(date)) => {
                let age = sent.duration_since(modified);
                modified == date && age.is_ok_and(|age| age >= Duration::from_secs(1))
            }
            _ => false,
        }
    }

    /// Section 8.8.3.2: strong comparison wants both tags strong, weak comparison ignores `W/`.
    fn any_etag_matches(&self, request: &HeaderMap, name: &HeaderName, weak: bool) -> bool {
        let own = self.etag.as_ref().map(|etag| etag.as_bytes());
        request
            .get_all(name)
            .iter()
            .flat_map(|value| split_list(value.as_bytes()))
            .any(|tag| match own {
                _ if tag == b"*" => true, // there is a current representation
                None => false,
                Some(own) if weak => opaque(own) == opaque(tag),
                Some(own) => is_strong(own) && own == tag,
            })
    }
}

fn is_strong(tag: &[u8]) -> bool {
    tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Sections 13.1.3 and 13.1.4: a condition that is no valid date is ignored.
fn date(request: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    http_date(request.get(name).map(|v| v.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Mon, 02 Nov 2026 12:00:00 GMT";
    const BEFORE: &str = "Mon, 02 Nov 2026 11:59:59 GMT";
    const AFTER: &str = "Mon, 02 Nov 2026 12:00:01 GMT";

    fn validators(etag: &'static str) -> Validators {
        Validators {
            etag: (!etag.is_empty()).then(|| HeaderValue::from_static(etag)),
            last_modified: http_date(Some(MODIFIED.as_bytes())),
            date: None,
        }
    }

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn preconditions_follow_the_order_of_section_13_2_2() {
        use Verdict::{Failed, NotModified, Proceed};
        for (etag, lines, verdict) in [
            ("\"a\"", vec![], Proceed),
            ("\"a\"", vec![(IF_NONE_MATCH, "\"a\"")], NotModified),
            ("\"a\"", vec![(IF_NONE_MATCH, "\"b\"")], Proceed),
            (
                "\"a\"",
                vec![(IF_NONE_MATCH, "\"b\", W/\"a\"")],
                NotModified,
            ),
            ("W/\"a\"", vec![(IF_NONE_MATCH, "\"a\"")], NotModified),
            (
                "\"a,b\"",
                vec![(IF_NONE_MATCH, "\"x\", \"a,b\"")],
                NotModified,
            ),
            ("\"a\"", vec![(IF_NONE_MATCH, "*")], NotModified),
            ("", vec![(IF_NONE_MATCH, "\"a\"")], Proceed),
            ("\"a\"", vec![(IF_NONE_MATCH, "a")], Proceed),
            ("\"a\"", vec![(IF_MODIFIED_SINCE, MODIFIED)], NotModified),
            ("\"a\"", vec![(IF_MODIFIED_SINCE, AFTER)], NotModified),
            ("\"a\"", vec![(IF_MODIFIED_SINCE, BEFORE)], Proceed),
            ("\"a\"", vec![(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (
                "\"a\"",
                vec![(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, AFTER)],
                Proceed,
            ),
            ("\"a\"", vec![(IF_MATCH, "\"a\"")], Proceed),
            ("\"a\"", vec![(IF_MATCH, "*")], Proceed),
            ("\"a\"", vec![(IF_MATCH, "\"b\"")], Failed),
            ("\"a\"", vec![(IF_MATCH, "W/\"a\"")], Failed),
            ("W/\"a\"", vec![(IF_MATCH, "W/\"a\"")], Failed),
            (
                "\"a\"",
                vec![(IF_MATCH, "\"a\""), (IF_UNMODIFIED_SINCE, BEFORE)],
                Proceed,
            ),
            (
                "\"a\"",
                vec![(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "\"a\"")],
                NotModified,
            ),
            ("\"a\"", vec![(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            ("\"a\"", vec![(IF_UNMODIFIED_SINCE, MODIFIED)], Proceed),
        ] {
            assert_eq!(
                validators(etag).evaluate(&headers(&lines)),
                verdict,
                "{etag} {lines:?}"
            );
        }
    }

    #[test]
    fn if_range_wants_the_very_same_version() {
        let modified = http_date(Some(MODIFIED.as_bytes())).expect("a date");
        let later = modified + Duration::from_secs(60);
        for (etag, condition, sent, allowed) in [
            ("\"a\"", "\"a\"", later, true),
            ("\"a\"", "\"b\"", later, false),
            ("W/\"a\"", "W/\"a\"", later, false),
            ("\"a\"", "W/\"a\"", later, false),
            ("", "\"a\"", later, false),
            ("\"a\"", MODIFIED, later, true),
            ("\"a\"", MODIFIED, modified, false),
            ("\"a\"", AFTER, later, false),
            ("\"a\"", "garbage", later, false),
        ] {
            let request = headers(&[(IF_RANGE, condition)]);
            let validators = Validators {
                date: Some(sent),
                ..validators(etag)
            };
            assert_eq!(
                validators.allows_range(&request),
                allowed,
                "{etag} {condition}"
            );
        }
        assert!(validators("").allows_range(&HeaderMap::new()));
    }
}
