//! How a request was answered, in the words of `Cache-Status` (RFC 9211): one enum for the header,
//! the metric and the log.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

/// How the cache handled one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum CacheStatus {
    /// Answered from the cache.
    Hit,
    /// Not in the cache; this request caused the fetch.
    UriMiss,
    /// Not in the cache; another request had caused the fetch already.
    Collapsed,
    /// In the cache but stale, and the origin sent a new version.
    Stale,
    /// In the cache but stale, and the origin confirmed it.
    Revalidated,
    /// In the cache but stale, served because the origin failed.
    StaleIfError,
    /// In the cache but stale, served while the origin is asked in the background.
    StaleWhileRevalidate,
    /// In the cache but stale, served because the request said that this is fine.
    StaleByRequest,
    /// In the cache, but no variant of it suits the request; this request caused the fetch.
    VaryMiss,
    /// A part of it is in the cache; this request caused the fetch of the rest.
    Partial,
    /// In the cache, but the request wanted the origin to be asked, and it sent a new version.
    Request,
    /// In the cache, but the request wanted the origin to be asked, and it confirmed it.
    RequestRevalidated,
    /// Not a method that a cache answers.
    Method,
    /// Passed through without being stored.
    Bypass,
    /// Refused before the cache was asked, or failed.
    Error,
}

impl CacheStatus {
    /// How many there are.
    pub const COUNT: usize = 15;

    /// All, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Hit,
        Self::UriMiss,
        Self::Collapsed,
        Self::Stale,
        Self::Revalidated,
        Self::StaleIfError,
        Self::StaleWhileRevalidate,
        Self::StaleByRequest,
        Self::VaryMiss,
        Self::Partial,
        Self::Request,
        Self::RequestRevalidated,
        Self::Method,
        Self::Bypass,
        Self::Error,
    ];

    /// One word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::UriMiss => "uri-miss",
            Self::Collapsed => "collapsed",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::StaleIfError => "stale-if-error",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
            Self::StaleByRequest => "stale-by-request",
            Self::VaryMiss => "vary-miss",
            Self::Partial => "partial",
            Self::Request => "request",
            Self::RequestRevalidated => "request-revalidated",
            Self::Method => "method",
            Self::Bypass => "bypass",
            Self::Error => "error",
        }
    }

    /// The member of `Cache-Status` after the cache's name: RFC 9211 section 2.
    const fn parameters(self) -> &'static str {
        match self {
            Self::Hit => "; hit",
            Self::UriMiss => "; fwd=uri-miss",
            Self::Collapsed => "; fwd=uri-miss; collapsed",
            Self::Stale => "; fwd=stale",
            Self::Revalidated => "; fwd=stale; fwd-status=304",
            Self::StaleIfError => "; fwd=stale; detail=stale-if-error",
            Self::StaleWhileRevalidate => "; hit; detail=stale-while-revalidate",
            Self::StaleByRequest => "; hit; detail=max-stale",
            Self::VaryMiss => "; fwd=vary-miss",
            Self::Partial => "; fwd=partial",
            Self::Request => "; fwd=request",
            Self::RequestRevalidated => "; fwd=request; fwd-status=304",
            Self::Method => "; fwd=method",
            Self::Bypass => "; fwd=bypass",
            Self::Error => "; fwd=uri-miss",
        }
    }

    /// The header's value. `ttl` is negative for what is stale (section 2.5); `stored` is the status
    /// that the origin gave and that this request put into the cache (sections 2.3 and 2.6).
    pub fn header(
        self,
        cache: &str,
        ttl: Option<(Duration, Staleness)>,
        stored: Option<StatusCode>,
    ) -> HeaderValue {
        let mut text = Vec::with_capacity(cache.len() + 72);
        text.extend_from_slice(cache.as_bytes());
        text.extend_from_slice(self.parameters().as_bytes());
        if let Some(status) = stored {
            text.extend_from_slice(b"; fwd-status=");
            text.extend_from_slice(status.as_str().as_bytes());
            text.extend_from_slice(b"; stored");
        }
        if let Some((span, staleness)) = ttl {
            text.extend_from_slice(match staleness {
                Staleness::Fresh => b"; ttl=",
                Staleness::Stale => b"; ttl=-",
            });
            text.extend_from_slice(itoa::Buffer::new().format(span.as_secs()).as_bytes());
        }
        // The parts are ASCII: the name was checked with the configuration.
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static("asset"))
    }
}

/// Which side of its lifetime a response is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// Its time-to-live is left.
    Fresh,
    /// That long past it.
    Stale,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_reads_as_rfc_9211_writes_it() {
        let ttl = Some((Duration::from_millis(59_900), Staleness::Fresh));
        assert_eq!(
            CacheStatus::Hit.header("asset-ams3", ttl, None),
            "asset-ams3; hit; ttl=59"
        );
        let past = Some((Duration::from_secs(7), Staleness::Stale));
        assert_eq!(
            CacheStatus::StaleIfError.header("asset-ams3", past, None),
            "asset-ams3; fwd=stale; detail=stale-if-error; ttl=-7"
        );
        assert_eq!(
            CacheStatus::UriMiss.header("asset-ams3", ttl, Some(StatusCode::OK)),
            "asset-ams3; fwd=uri-miss; fwd-status=200; stored; ttl=59"
        );
        for (i, status) in CacheStatus::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, i);
        }
    }
}
