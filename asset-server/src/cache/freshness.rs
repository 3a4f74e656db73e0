//! How long a response may be used, and what to do with one at a given moment (RFC 9111 section 4).
//!
//! Pure: every function takes its moment as an argument and reads no clock. Whether a response may be
//! kept at all is the affair of [`storability`](super::storability).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};

use super::directives::{Directives, RequestDirectives, delta_seconds, split_list};
pub(crate) use super::http_date::http_date;

/// Section 4.2.2 suggests a tenth of the time since the last change; a day is as long as it gets.
const HEURISTIC_FRACTION: u32 = 10;
const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 3600);

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
    /// The span past its lifetime in which it is served while it is revalidated, RFC 5861 section 3.
    pub stale_while_revalidate: Duration,
    /// The span past its lifetime in which an error may be answered with it, RFC 5861 section 4.
    pub stale_if_error: Duration,
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
    /// Serve it although it is stale: the request said that this is fine (section 5.2.1.2).
    Stale,
    /// Serve it although it is stale, and ask the origin in the background.
    StaleWhileRevalidate,
    /// Ask the origin first.
    Revalidate,
}

impl Freshness {
    /// A response of our own making that is fresh for `lifetime`.
    pub fn for_span(lifetime: Duration, received: SystemTime) -> Self {
        Self {
            received,
            initial_age: Duration::ZERO,
            lifetime,
            must_revalidate: true,
            no_cache: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    /// Section 4.2.3: `current_age`. A clock that went backwards adds nothing.
    pub fn age(&self, now: SystemTime) -> Duration {
        self.initial_age + now.duration_since(self.received).unwrap_or_default()
    }

    /// Section 4: whether it may be used as it is, for a request that says nothing of its own.
    pub fn lookup(&self, now: SystemTime) -> Lookup {
        let age = self.age(now);
        let ttl = self.lifetime.saturating_sub(age);
        if self.no_cache {
            Lookup::Revalidate
        } else if !ttl.is_zero() {
            Lookup::Hit { age, ttl }
        } else if !self.must_revalidate && age - self.lifetime < self.stale_while_revalidate {
            Lookup::StaleWhileRevalidate
        } else {
            Lookup::Revalidate
        }
    }

    /// Section 5.2.1: the same for a request with directives.
    pub fn lookup_for(&self, request: &RequestDirectives, now: SystemTime) -> Lookup {
        if request.no_cache {
            return Lookup::Revalidate;
        }
        let (age, plain) = (self.age(now), self.lookup(now));
        if request
            .max_age
            .is_some_and(|limit| age > limit || limit.is_zero())
        {
            return Lookup::Revalidate;
        }
        match plain {
            Lookup::Hit { ttl, .. } if request.min_fresh.is_some_and(|least| ttl < least) => {
                Lookup::Revalidate
            }
            Lookup::Revalidate if !self.no_cache && !self.must_revalidate => {
                match request.max_stale {
                    Some(limit) if age.saturating_sub(self.lifetime) <= limit => Lookup::Stale,
                    _ => Lookup::Revalidate,
                }
            }
            plain => plain,
        }
    }

    /// RFC 5861 section 4 and RFC 9111 section 4.2.4: whether it may stand in for an error.
    pub fn may_stand_in_for_error(&self, now: SystemTime) -> bool {
        let staleness = self.age(now).saturating_sub(self.lifetime);
        !self.must_revalidate && !self.no_cache && staleness <= self.stale_if_error
    }
}

/// Section 4.2.1: `s-maxage`, then `max-age`, then `Expires` less `Date`. `None` if nothing is stated.
pub fn stated_lifetime(
    headers: &HeaderMap,
    directives: &Directives,
    targeted: bool,
    received: SystemTime,
) -> Option<Duration> {
    let stated = directives.s_maxage.or(directives.max_age);
    if stated.is_some() || targeted || !headers.contains_key(EXPIRES) {
        return stated;
    }
    // Section 5.3: a date that cannot be read, `0` above all, is in the past. So are two of them.
    let date = http_date(single(headers, &DATE)).unwrap_or(received);
    let expires = http_date(single(headers, &EXPIRES));
    let lifetime = expires.and_then(|expires| expires.duration_since(date).ok());
    Some(lifetime.unwrap_or_default())
}

/// Section 4.2.2: what the time since the last change lets expect.
pub fn heuristic_lifetime(headers: &HeaderMap, received: SystemTime) -> Option<Duration> {
    let modified = http_date(single(headers, &LAST_MODIFIED))?;
    let date = http_date(single(headers, &DATE)).unwrap_or(received);
    let unchanged = date.duration_since(modified).ok()?;
    Some((unchanged / HEURISTIC_FRACTION).min(HEURISTIC_MAX))
}

/// Section 4.2.3: `corrected_initial_age`.
pub fn initial_age(headers: &HeaderMap, requested: SystemTime, received: SystemTime) -> Duration {
    let apparent_age = http_date(single(headers, &DATE))
        .and_then(|date| received.duration_since(date).ok())
        .unwrap_or_default();
    // Section 5.1: the first member of what should not be a list; what is no number is ignored.
    let age_value = headers
        .get(AGE)
        .and_then(|age| split_list(age.as_bytes()).next())
        .filter(|age| !age.starts_with(b"\""))
        .and_then(delta_seconds)
        .map_or(Duration::ZERO, Duration::from_secs);
    let response_delay = received.duration_since(requested).unwrap_or_default();
    apparent_age.max(age_value + response_delay)
}

/// The value of a field that must not be there twice.
fn single<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}
