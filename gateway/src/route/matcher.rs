//! One route's conditions. Pure, and without allocation per request.

use std::fmt;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};

/// The conditions of one route; all must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Host asked for.
    pub host: HostPattern,
    /// Path asked for.
    pub path: PathPattern,
    /// Methods; empty means any.
    pub methods: Vec<Method>,
    /// Headers that must be there with exactly this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Which hosts a route is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostPattern {
    /// Every host.
    #[default]
    Any,
    /// `*.example.com`: one or more labels in front of the rest, which is kept with its dot.
    Below(Box<str>),
    /// This host.
    Exactly(Box<str>),
}

/// Which paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// `/jobs` and all below it, by whole segments.
    Prefix(Box<str>),
    /// `/jobs/{id}/logs`: a segment in braces stands for any one segment.
    Template(Vec<Segment>),
    /// This path.
    Exact(Box<str>),
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Any,
}

/// Why a pattern cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Paths start at the root.
    #[error("{0:?} must start with /")]
    NotAbsolute(String),
    /// A brace that does not enclose a whole segment.
    #[error("{0:?}: braces enclose a whole segment, such as /jobs/{{id}}/logs")]
    Braces(String),
    /// A host that no request can have.
    #[error("{0:?} is not a host name, or one below a wildcard such as *.example.com")]
    Host(String),
}

/// As it is written in the configuration.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(rest) => write!(f, "*{rest}"),
            Self::Exactly(host) => f.write_str(host),
        }
    }
}

/// As it is written in the configuration; the names of a template's segments are not kept.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "prefix {prefix}"),
            Self::Exact(path) => write!(f, "exact {path}"),
            Self::Template(segments) => {
                f.write_str("template ")?;
                segments.iter().try_for_each(|segment| match segment {
                    Segment::Literal(text) => write!(f, "/{text}"),
                    Segment::Any => f.write_str("/{…}"),
                })
            }
        }
    }
}

impl Default for PathPattern {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

impl PathPattern {
    /// A prefix as written.
    pub fn prefix(text: &str) -> Result<Self, InvalidPattern> {
        absolute(text).map(|path| Self::Prefix(path.into()))
    }

    /// An exact path as written.
    pub fn exact(text: &str) -> Result<Self, InvalidPattern> {
        absolute(text).map(|path| Self::Exact(path.into()))
    }

    /// A template as written.
    pub fn template(text: &str) -> Result<Self, InvalidPattern> {
        let segment = |segment: &str| match segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Ok(Segment::Any),
            None if !segment.contains(['{', '}']) => Ok(Segment::Literal(segment.into())),
            _ => Err(InvalidPattern::Braces(text.into())),
        };
        let segments = absolute(text)?[1..]
            .split('/')
            .map(segment)
            .collect::<Result<_, _>>()?;
        Ok(Self::Template(segments))
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| {
                rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')
            }),
            Self::Template(segments) => {
                let Some(path) = path.strip_prefix('/') else {
                    return false;
                };
                let mut asked = path.split('/');
                segments
                    .iter()
                    .all(|segment| match (segment, asked.next()) {
                        (Segment::Literal(literal), Some(asked)) => **literal == *asked,
                        (Segment::Any, Some(asked)) => !asked.is_empty(),
                        (_, None) => false,
                    })
                    && asked.next().is_none()
            }
        }
    }

    /// More specific patterns compare greater: exact, then template, then the longer prefix.
    fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Prefix(prefix) => (0, prefix.len()),
            Self::Template(segments) => (
                1,
                segments
                    .iter()
                    .filter(|segment| matches!(segment, Segment::Literal(_)))
                    .count(),
            ),
            Self::Exact(exact) => (2, exact.len()),
        }
    }
}

fn absolute(path: &str) -> Result<&str, InvalidPattern> {
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(InvalidPattern::NotAbsolute(path.into()))
    }
}

impl HostPattern {
    /// A host as written: `example.com`, `*.example.com` or `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let host = text.to_ascii_lowercase();
        let plausible = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|b| {
                    b.is_ascii_alphanumeric()
                        || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
                })
        };
        match host.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(rest) if rest.starts_with('.') && plausible(&rest[1..]) => {
                Ok(Self::Below(rest.into()))
            }
            None if plausible(&host) => Ok(Self::Exactly(host.into())),
            _ => Err(InvalidPattern::Host(text.into())),
        }
    }

    /// Whether a host, without port, is one of these.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exact) => exact.eq_ignore_ascii_case(host),
            Self::Below(rest) => {
                host.len() > rest.len()
                    && host.is_char_boundary(host.len() - rest.len())
                    && host[host.len() - rest.len()..].eq_ignore_ascii_case(rest)
            }
        }
    }

    /// Of two patterns that match, the one with the greater specificity counts.
    pub(crate) fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Below(rest) => (1, rest.len()),
            Self::Exactly(host) => (2, host.len()),
        }
    }
}

impl Matcher {
    /// Whether a request meets all conditions. `host` is without port, `path` without query.
    pub fn matches(&self, host: &str, path: &str, method: &Method, headers: &HeaderMap) -> bool {
        self.path.matches(path)
            && self.host.matches(host)
            && (self.methods.is_empty() || self.methods.contains(method))
            && self
                .headers
                .iter()
                .all(|(name, value)| headers.get(name) == Some(value))
    }

    /// Of two routes that match, the one with the greater specificity answers: host first, then path,
    /// then the number of further conditions.
    pub fn specificity(&self) -> impl Ord + use<> {
        (
            self.host.specificity(),
            self.path.specificity(),
            usize::from(!self.methods.is_empty()) + self.headers.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    use super::{HostPattern, InvalidPattern, PathPattern};

    #[test]
    fn paths_match_by_whole_segments() {
        let prefix = |text| PathPattern::prefix(text).unwrap();
        let template = |text| PathPattern::template(text).unwrap();
        for (pattern, path, expected) in [
            (prefix("/"), "/anything", true),
            (prefix("/jobs"), "/jobs", true),
            (prefix("/jobs"), "/jobs/7", true),
            (prefix("/jobs"), "/jobsite", false),
            (prefix("/assets/"), "/assets/a", true),
            (prefix("/assets/"), "/assets", false),
            (PathPattern::exact("/jobs").unwrap(), "/jobs/", false),
            (template("/jobs/{id}/logs"), "/jobs/7/logs", true),
            (template("/jobs/{id}/logs"), "/jobs//logs", false),
            (template("/jobs/{id}/logs"), "/jobs/7/logs/more", false),
            (template("/jobs/{id}/logs"), "/jobs/7", false),
            (template("/jobs/{id}"), "*", false),
        ] {
            assert_eq!(pattern.matches(path), expected, "{pattern:?} {path}");
        }
        assert_eq!(
            PathPattern::prefix("jobs"),
            Err(InvalidPattern::NotAbsolute("jobs".into()))
        );
        for wrong in ["/a{b}", "/{}", "/{a", "/a}", "/{a{b}}"] {
            assert_eq!(
                PathPattern::template(wrong),
                Err(InvalidPattern::Braces(wrong.into()))
            );
        }
    }

    #[test]
    fn hosts_match_without_regard_to_case() {
        for (pattern, host, expected) in [
            ("*", "anything", true),
            ("Edge.example.com", "edge.EXAMPLE.com", true),
            ("edge.example.com", "xedge.example.com", false),
            ("*.example.com", "a.b.Example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
        ] {
            assert_eq!(
                HostPattern::parse(pattern).unwrap().matches(host),
                expected,
                "{pattern} {host}"
            );
        }
        for wrong in ["", "*example.com", "a b", "*."] {
            assert_eq!(
                HostPattern::parse(wrong),
                Err(InvalidPattern::Host(wrong.into()))
            );
        }
    }

    proptest! {
        #[test]
        fn no_path_or_host_panics(pattern in "(/[a-z{}]{0,4}){0,4}", path in ".{0,24}", host in ".{0,24}") {
            for parsed in [PathPattern::prefix(&pattern), PathPattern::exact(&pattern), PathPattern::template(&pattern)].into_iter().flatten() {
                parsed.matches(&path);
            }
            let below = HostPattern::parse("*.example.com").unwrap();
            super::Matcher { host: below, ..Default::default() }.matches(&host, &path, &Method::GET, &HeaderMap::new());
        }
    }
}
