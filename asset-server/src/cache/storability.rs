//! Whether a response may be kept, and on which terms (RFC 9111 section 3). Pure.

use std::time::{Duration, SystemTime};

use http::header::{ETAG, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderName, StatusCode};

use super::directives::{Directives, RequestDirectives};
use super::freshness::{Freshness, heuristic_lifetime, initial_age, stated_lifetime};
use super::vary::Varies;
use super::{part, targeted};

/// What the operator decided for a mount.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Lifetime of a response that states none. Zero leaves it to the heuristic of section 4.2.2.
    pub default_ttl: Duration,
    /// How long "no such object" is remembered when the origin does not say.
    pub negative_ttl: Duration,
    /// `stale-while-revalidate` of a response that states none.
    pub stale_while_revalidate: Duration,
    /// `stale-if-error` of a response that states none.
    pub stale_if_error: Duration,
    /// Fields that go before `Cache-Control`, RFC 9213 section 2.2.
    pub targeted_fields: Vec<HeaderName>,
    /// Whether a response that sets a cookie is kept if it states how long it is fresh.
    pub store_set_cookie: bool,
}

/// A response, and what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Whether the request had `Authorization`.
    pub authorized: bool,
    /// What the request said about storing.
    pub request: RequestDirectives,
    /// Status of the response.
    pub status: StatusCode,
    /// Headers of the response.
    pub headers: &'a HeaderMap,
    /// When the request was sent.
    pub requested: SystemTime,
    /// When the head of the response arrived.
    pub received: SystemTime,
}

/// Whether a response may be stored.
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
    /// `no-store`, of the response or of the request.
    NoStore,
    /// `private`.
    Private,
    /// The request had `Authorization`, and nothing says that others may see the response.
    Authorization,
    /// It sets a cookie, so it is for one user.
    SetCookie,
    /// `Vary: *`: no stored response suits any request.
    Vary,
    /// Its status code is not one that we understand well enough for what it demands.
    Status,
    /// It is a part whose headers contradict each other, or a part of something that varies.
    Part,
    /// It is neither fresh nor can it be revalidated: it would never be used.
    Useless,
}

impl NotStored {
    /// All, for what lists them.
    pub const ALL: [Self; 8] = [
        Self::NoStore,
        Self::Private,
        Self::Authorization,
        Self::SetCookie,
        Self::Vary,
        Self::Status,
        Self::Part,
        Self::Useless,
    ];

    /// One word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Status => "status",
            Self::Part => "part",
            Self::Useless => "useless",
        }
    }
}

/// Decides by section 3, clause by clause, and section 4.2 for the terms.
pub fn judge(exchange: &Exchange<'_>, policy: &Policy) -> Storability {
    let Exchange {
        status, headers, ..
    } = *exchange;
    let targeted = targeted::directives(headers, &policy.targeted_fields);
    let is_targeted = targeted.is_some();
    let directives = targeted.unwrap_or_else(|| Directives::of(headers));
    let stated = stated_lifetime(headers, &directives, is_targeted, exchange.received);

    let refused = if exchange.request.no_store {
        Some(NotStored::NoStore)
    // Section 5.2.2.3: who understands the status ignores the `no-store` that comes with it.
    } else if directives.must_understand && !is_understood(status) {
        Some(NotStored::Status)
    } else if directives.no_store && !directives.must_understand {
        Some(NotStored::NoStore)
    } else if directives.private.is_everything() {
        Some(NotStored::Private)
    // Section 3.5.
    } else if exchange.authorized
        && !(directives.public || directives.must_revalidate || directives.s_maxage.is_some())
    {
        Some(NotStored::Authorization)
    // Section 7.3 leaves cookies to the origin's directives. We want to see some.
    } else if headers.contains_key(SET_COOKIE) && !(policy.store_set_cookie && stated.is_some()) {
        Some(NotStored::SetCookie)
    } else if Varies::of(headers) == Varies::ByEverything {
        Some(NotStored::Vary)
    } else if status == StatusCode::NOT_MODIFIED || status.is_informational() {
        Some(NotStored::Status)
    } else if status == StatusCode::PARTIAL_CONTENT && !part::is_sound(headers) {
        Some(NotStored::Part)
    } else {
        None
    };
    if let Some(reason) = refused {
        return Storability::Refuse(reason);
    }

    let heuristically = is_heuristically_cacheable(status) || directives.public;
    let lifetime = match stated {
        Some(stated) => stated,
        None if is_absent(status) && !policy.negative_ttl.is_zero() => policy.negative_ttl,
        None if heuristically && !is_targeted && !policy.default_ttl.is_zero() => {
            policy.default_ttl
        }
        None if heuristically => heuristic_lifetime(headers, exchange.received).unwrap_or_default(),
        None => Duration::ZERO,
    };
    let freshness = Freshness {
        received: exchange.received,
        initial_age: initial_age(headers, exchange.requested, exchange.received),
        lifetime,
        // Section 5.2.2.10: `s-maxage` implies `proxy-revalidate`.
        must_revalidate: directives.must_revalidate
            || directives.proxy_revalidate
            || directives.s_maxage.is_some(),
        no_cache: directives.no_cache.is_everything(),
        stale_while_revalidate: directives
            .stale_while_revalidate
            .unwrap_or(policy.stale_while_revalidate),
        stale_if_error: directives.stale_if_error.unwrap_or(policy.stale_if_error),
    };
    let can_be_validated = is_heuristically_cacheable(status)
        && (headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED));
    let outlives_itself =
        directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
    let is_useful = !freshness.lifetime.is_zero() || can_be_validated || outlives_itself;
    match is_useful {
        true => Storability::Store(freshness),
        false => Storability::Refuse(NotStored::Useless),
    }
}

/// Field names that the directives of a response keep out of a shared cache: sections 5.2.2.4 and
/// 5.2.2.7, the qualified forms.
pub fn withheld_fields(headers: &HeaderMap, policy: &Policy) -> Vec<HeaderName> {
    let directives = targeted::directives(headers, &policy.targeted_fields)
        .unwrap_or_else(|| Directives::of(headers));
    let fields = directives.no_cache.fields().iter();
    fields.chain(directives.private.fields()).cloned().collect()
}

/// RFC 9110 section 15.1.
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Status codes whose caching requirements we know: all that RFC 9110 section 15 defines.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

fn is_absent(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

#[cfg(test)]
mod tests;
