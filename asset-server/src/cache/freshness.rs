//! How long a response may be used, and what to do with one at a given moment (RFC 9111 section 4).
//!
//! Pure: every function takes its moment as an argument and reads no clock.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, EXPIRES, SET_COOKIE, VARY};

use super::directives::{Directives, delta_seconds};

/// What a stored response needs for every later decision about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the response, or its last revalidation, arrived.
    pub received: SystemTime,
    /// Its age at that moment, section 4.2.3.
    pub initial_age: Duration,
    /// Its freshness lifetime, section 4.2.1.
    pub lifetime: Duration,
    /// It may never be served stale, section 5.2.2.2.
    pub must_revalidate: bool,
    /// It must be revalidated before every use, section 5.2.2.4.
    pub no_cache: bool,
    /// The span past its lifetime in which an error may be answered with it, RFC 5861 section 4.
    pub stale_if_error: Duration,
}

/// What the operator decided for a mount.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Lifetime of a response that states none.
    pub ttl: Duration,
    /// `stale-if-error` of a response that states none.
    pub stale_if_error: Duration,
}

/// Whether a response may be stored (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storability {
    /// It may, and stays fresh like this.
    Store(Freshness),
    /// It may not.
    Refuse(NotStored),
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: private`.
    Private,
    /// It sets a cookie, so it is for one user.
    SetCookie,
    /// It varies by a request header, and variants are not kept.
    Vary,
}

/// What a stored response is good for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Serve it; it stays fresh for `ttl` more.
    Hit {
        /// Age to announce.
        age: Duration,
        /// Freshness left.
        ttl: Duration,
    },
    /// Ask the origin first.
    Revalidate,
}

impl Freshness {
    /// Whether and how long a response may be stored.
    pub fn of_response(
        headers: &HeaderMap,
        defaults: Defaults,
        requested: SystemTime,
        received: SystemTime,
    ) -> Storability {
        let directives = Directives::of(headers);
        let refused = if directives.no_store {
            Some(NotStored::NoStore)
        } else if directives.private {
            Some(NotStored::Private)
        } else if headers.contains_key(SET_COOKIE) {
            Some(NotStored::SetCookie)
        } else if varies(headers) {
            Some(NotStored::Vary)
        } else {
            None
        };
        match refused {
            Some(reason) => Storability::Refuse(reason),
            None => Storability::Store(Self {
                received,
                initial_age: initial_age(headers, requested, received),
                lifetime: lifetime(headers, directives, defaults.ttl, received),
                must_revalidate: directives.must_revalidate || directives.s_maxage.is_some(),
                no_cache: directives.no_cache,
                stale_if_error: directives.stale_if_error.unwrap_or(defaults.stale_if_error),
            }),
        }
    }

    /// A response of our own making that is fresh for `lifetime`.
    pub fn for_span(lifetime: Duration, received: SystemTime) -> Self {
        Self {
            received,
            initial_age: Duration::ZERO,
            lifetime,
            must_revalidate: true,
            no_cache: false,
            stale_if_error: Duration::ZERO,
        }
    }

    /// Section 4.2.3: `current_age`. A clock that went backwards adds nothing.
    pub fn age(&self, now: SystemTime) -> Duration {
        self.initial_age + now.duration_since(self.received).unwrap_or_default()
    }

    /// Section 4: whether it may be used as it is.
    pub fn lookup(&self, now: SystemTime) -> Lookup {
        let age = self.age(now);
        match self.lifetime.checked_sub(age) {
            Some(ttl) if !ttl.is_zero() && !self.no_cache => Lookup::Hit { age, ttl },
            _ => Lookup::Revalidate,
        }
    }

    /// RFC 5861 section 4 and RFC 9111 section 4.2.4: whether it may stand in for an error.
    pub fn may_stand_in_for_error(&self, now: SystemTime) -> bool {
        let staleness = self.age(now).saturating_sub(self.lifetime);
        !self.must_revalidate && !self.no_cache && staleness <= self.stale_if_error
    }
}

/// `Vary` on anything but what every request to the origin has alike means that a stored response is
/// not known to suit another request (section 4.1). Requests to origins carry no client header at
/// all, so `Vary: Origin` and `Vary: Accept-Encoding`, which stores send by habit, change nothing.
fn varies(headers: &HeaderMap) -> bool {
    headers
        .get_all(VARY)
        .iter()
        .flat_map(|value| super::directives::split_list(value.as_bytes()))
        .any(|name| {
            ![
                "accept-encoding",
                "origin",
                "access-control-request-headers",
                "access-control-request-method",
            ]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        })
}

/// Section 4.2.1: `s-maxage`, then `max-age`, then `Expires` less `Date`; else what the mount says.
fn lifetime(
    headers: &HeaderMap,
    directives: Directives,
    default: Duration,
    received: SystemTime,
) -> Duration {
    if let Some(stated) = directives.s_maxage.or(directives.max_age) {
        return stated;
    }
    let Some(expires) = headers.get(EXPIRES) else {
        return default;
    };
    // Section 5.3: a date that cannot be read, `0` above all, is in the past.
    let date = http_date(headers.get(DATE).map(|v| v.as_bytes())).unwrap_or(received);
    http_date(Some(expires.as_bytes()))
        .and_then(|expires| expires.duration_since(date).ok())
        .unwrap_or_default()
}

/// Section 4.2.3: `corrected_initial_age`.
fn initial_age(headers: &HeaderMap, requested: SystemTime, received: SystemTime) -> Duration {
    let apparent_age = http_date(headers.get(DATE).map(|v| v.as_bytes()))
        .and_then(|date| received.duration_since(date).ok())
        .unwrap_or_default();
    let age_value = headers
        .get(AGE)
        .and_then(|age| delta_seconds(age.as_bytes()))
        .unwrap_or(0);
    let response_delay = received.duration_since(requested).unwrap_or_default();
    apparent_age.max(Duration::from_secs(age_value) + response_delay)
}

/// A date of RFC 9110 section 5.6.7.
pub(crate) fn http_date(text: Option<&[u8]>) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(text?).ok()?).ok()
}

#[cfg(test)]
mod tests;
