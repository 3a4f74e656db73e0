use http::{HeaderName, HeaderValue};

use super::*;
use crate::cache::freshness::Lookup;
use crate::cache::targeted::CDN_CACHE_CONTROL;

fn policy() -> Policy {
    Policy {
        default_ttl: seconds(100),
        negative_ttl: seconds(0),
        stale_while_revalidate: seconds(0),
        stale_if_error: seconds(1000),
        targeted_fields: vec![CDN_CACHE_CONTROL],
        store_set_cookie: true,
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn noon() -> SystemTime {
    crate::cache::freshness::http_date(Some(b"Mon, 02 Nov 2026 12:00:00 GMT")).expect("a date")
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn exchange(headers: &HeaderMap) -> Exchange<'_> {
    Exchange {
        authorized: false,
        request: RequestDirectives::default(),
        status: StatusCode::OK,
        headers,
        requested: noon(),
        received: noon(),
    }
}

fn of(lines: &[(&'static str, &'static str)]) -> Storability {
    judge(&exchange(&headers(lines)), &policy())
}

fn stored(lines: &[(&'static str, &'static str)]) -> Freshness {
    match of(lines) {
        Storability::Store(freshness) => freshness,
        Storability::Refuse(reason) => unreachable!("{lines:?} refused: {reason:?}"),
    }
}

#[test]
fn the_lifetime_comes_from_the_first_source_that_speaks() {
    for (clause, lines, lifetime) in [
        ("mount default", &[] as &[_], 100),
        ("5.2.2.1", &[("cache-control", "max-age=7")], 7),
        ("5.2.2.10", &[("cache-control", "max-age=7, s-maxage=9")], 9),
        (
            "5.3",
            &[
                ("cache-control", "max-age=7"),
                ("expires", "Mon, 02 Nov 2026 13:00:00 GMT"),
            ],
            7,
        ),
        ("5.3", &[("expires", "Mon, 02 Nov 2026 12:01:00 GMT")], 60),
        (
            "4.2.1",
            &[
                ("expires", "Mon, 02 Nov 2026 12:01:00 GMT"),
                ("date", "Mon, 02 Nov 2026 12:00:30 GMT"),
            ],
            30,
        ),
        ("5.3", &[("etag", "\"a\""), ("expires", "0")], 0),
        (
            "5.3",
            &[
                ("etag", "\"a\""),
                ("expires", "Mon, 02 Nov 2026 11:00:00 GMT"),
            ],
            0,
        ),
        (
            "4.2.1",
            &[("etag", "\"a\""), ("cache-control", "max-age=x")],
            0,
        ),
        (
            "RFC 9213 2.2",
            &[
                ("cdn-cache-control", "max-age=9"),
                ("cache-control", "no-store"),
            ],
            9,
        ),
    ] {
        assert_eq!(
            stored(lines).lifetime,
            seconds(lifetime),
            "{clause}: {lines:?}"
        );
    }
}

#[test]
fn what_is_not_for_everyone_is_not_stored() {
    for (lines, reason) in [
        (
            &[("cache-control", "no-store, max-age=60")] as &[_],
            NotStored::NoStore,
        ),
        (&[("cache-control", "private")], NotStored::Private),
        (&[("set-cookie", "a=b")], NotStored::SetCookie),
        (&[("vary", "Origin, *")], NotStored::Vary),
        (
            &[
                ("cache-control", "max-age=60"),
                ("cdn-cache-control", "no-store"),
            ],
            NotStored::NoStore,
        ),
    ] {
        assert_eq!(of(lines), Storability::Refuse(reason), "{lines:?}");
    }
    assert!(matches!(
        of(&[
            ("vary", "Origin, Cookie"),
            ("set-cookie", "a=b"),
            ("cache-control", "max-age=5")
        ]),
        Storability::Store(_)
    ));
}

#[test]
fn the_age_counts_what_came_before_us() {
    let later = noon() + seconds(10);
    for (lines, delay, age) in [
        (&[] as &[_], 0, 10),
        (&[("age", "30")], 0, 40),
        (&[("age", "30")], 2, 42),
        (&[("age", "soon")], 0, 10),
        (&[("age", "-1")], 0, 10),
        (&[("age", "30, 90")], 0, 40),
        (&[("age", "soon, 90")], 0, 10),
        (&[("date", "Mon, 02 Nov 2026 11:59:00 GMT")], 0, 70),
        (&[("date", "Mon, 02 Nov 2026 12:59:00 GMT")], 0, 10),
    ] {
        let requested = noon() - seconds(delay);
        let headers = headers(lines);
        let exchange = Exchange {
            requested,
            ..exchange(&headers)
        };
        let Storability::Store(freshness) = judge(&exchange, &policy()) else {
            unreachable!("{lines:?} refused");
        };
        assert_eq!(freshness.age(later), seconds(age), "{lines:?}");
    }
    assert_eq!(
        stored(&[]).age(noon() - seconds(5)),
        Duration::ZERO,
        "a clock set back"
    );
}

#[test]
fn an_entry_is_a_hit_until_its_lifetime_is_over() {
    let entry = stored(&[("cache-control", "max-age=60")]);
    assert_eq!(
        entry.lookup(noon()),
        Lookup::Hit {
            age: seconds(0),
            ttl: seconds(60)
        }
    );
    assert_eq!(
        entry.lookup(noon() + seconds(59)),
        Lookup::Hit {
            age: seconds(59),
            ttl: seconds(1)
        }
    );
    assert_eq!(entry.lookup(noon() + seconds(60)), Lookup::Revalidate);
    assert_eq!(
        stored(&[("cache-control", "no-cache, max-age=60")]).lookup(noon()),
        Lookup::Revalidate
    );
    assert_eq!(
        stored(&[("cache-control", "max-age=0"), ("etag", "\"a\"")]).lookup(noon()),
        Lookup::Revalidate
    );
}

#[test]
fn a_stale_entry_stands_in_for_an_error_within_its_window() {
    for (lines, after, may) in [
        (&[("cache-control", "max-age=60")] as &[_], 60, true),
        (&[("cache-control", "max-age=60")], 1060, true),
        (&[("cache-control", "max-age=60")], 1061, false),
        (
            &[("cache-control", "max-age=60, stale-if-error=5")],
            65,
            true,
        ),
        (
            &[("cache-control", "max-age=60, stale-if-error=5")],
            66,
            false,
        ),
        (
            &[("cache-control", "max-age=60, must-revalidate")],
            61,
            false,
        ),
        (&[("cache-control", "s-maxage=60")], 61, false),
        (&[("cache-control", "no-cache")], 1, false),
    ] {
        assert_eq!(
            stored(lines).may_stand_in_for_error(noon() + seconds(after)),
            may,
            "{lines:?} after {after}"
        );
    }
}

#[test]
fn only_a_response_that_says_so_is_kept_for_others_than_who_authorized() {
    for (cache_control, kept) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
        ("max-age=60, proxy-revalidate", false),
    ] {
        let headers = headers(&[("cache-control", cache_control)]);
        let exchange = Exchange {
            authorized: true,
            ..exchange(&headers)
        };
        let verdict = judge(&exchange, &policy());
        assert_eq!(
            matches!(verdict, Storability::Store(_)),
            kept,
            "{cache_control}"
        );
    }
}

#[test]
fn a_status_decides_what_is_kept_without_a_word_about_freshness() {
    let policy = Policy {
        default_ttl: seconds(0),
        ..policy()
    };
    let ten_days_before = [("last-modified", "Fri, 23 Oct 2026 12:00:00 GMT")];
    for (status, lines, kept) in [
        (200, &ten_days_before[..], Some(24 * 3600)),
        (
            200,
            &[("last-modified", "Mon, 02 Nov 2026 11:00:00 GMT")],
            Some(360),
        ),
        (404, &ten_days_before, Some(24 * 3600)),
        (403, &ten_days_before, None),
        (599, &ten_days_before, None),
        (599, &[("cache-control", "max-age=5")], Some(5)),
        (
            599,
            &[("cache-control", "max-age=5, must-understand")],
            None,
        ),
        (
            200,
            &[("cache-control", "max-age=5, must-understand, no-store")],
            Some(5),
        ),
        (200, &[], None),
        (200, &[("etag", "\"a\"")], Some(0)),
        (304, &[("cache-control", "max-age=5")], None),
    ] {
        let headers = headers(lines);
        let exchange = Exchange {
            status: StatusCode::from_u16(status).expect("a status"),
            ..exchange(&headers)
        };
        let lifetime = match judge(&exchange, &policy) {
            Storability::Store(freshness) => Some(freshness.lifetime.as_secs()),
            Storability::Refuse(_) => None,
        };
        assert_eq!(lifetime, kept, "{status} {lines:?}");
    }
}

#[test]
fn a_request_may_ask_for_more_or_for_less() {
    let entry = stored(&[("cache-control", "max-age=60, stale-while-revalidate=10")]);
    let none = RequestDirectives::default();
    for (request, after, expected) in [
        (none, 60, Lookup::StaleWhileRevalidate),
        (none, 70, Lookup::Revalidate),
        (
            RequestDirectives {
                no_cache: true,
                ..none
            },
            0,
            Lookup::Revalidate,
        ),
        (
            RequestDirectives {
                max_age: Some(seconds(5)),
                ..none
            },
            6,
            Lookup::Revalidate,
        ),
        (
            RequestDirectives {
                min_fresh: Some(seconds(30)),
                ..none
            },
            31,
            Lookup::Revalidate,
        ),
        (
            RequestDirectives {
                max_stale: Some(seconds(30)),
                ..none
            },
            85,
            Lookup::Stale,
        ),
        (
            RequestDirectives {
                max_stale: Some(seconds(30)),
                ..none
            },
            95,
            Lookup::Revalidate,
        ),
        (
            RequestDirectives {
                max_stale: Some(Duration::MAX),
                ..none
            },
            9999,
            Lookup::Stale,
        ),
    ] {
        let lookup = entry.lookup_for(&request, noon() + seconds(after));
        assert_eq!(lookup, expected, "{request:?} after {after}");
    }
    let strict = stored(&[("cache-control", "max-age=60, must-revalidate")]);
    let patient = RequestDirectives {
        max_stale: Some(Duration::MAX),
        ..none
    };
    assert_eq!(
        strict.lookup_for(&patient, noon() + seconds(61)),
        Lookup::Revalidate
    );
}
