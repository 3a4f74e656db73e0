use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const DEFAULTS: Defaults = Defaults {
    ttl: seconds(100),
    stale_if_error: seconds(1000),
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn noon() -> SystemTime {
    http_date(Some(b"Mon, 02 Nov 2026 12:00:00 GMT")).expect("a date")
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

fn of(lines: &[(&'static str, &'static str)]) -> Storability {
    Freshness::of_response(&headers(lines), DEFAULTS, noon(), noon())
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
        ("5.3", &[("expires", "0")], 0),
        ("5.3", &[("expires", "Mon, 02 Nov 2026 11:00:00 GMT")], 0),
        ("4.2.1", &[("cache-control", "max-age=x")], 0),
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
        (&[("vary", "*")], NotStored::Vary),
        (&[("vary", "Origin, Cookie")], NotStored::Vary),
    ] {
        assert_eq!(of(lines), Storability::Refuse(reason), "{lines:?}");
    }
    assert!(matches!(
        of(&[("vary", "Origin, Accept-Encoding")]),
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
        (&[("date", "Mon, 02 Nov 2026 11:59:00 GMT")], 0, 70),
        (&[("date", "Mon, 02 Nov 2026 12:59:00 GMT")], 0, 10),
    ] {
        let requested = noon() - seconds(delay);
        let Storability::Store(freshness) =
            Freshness::of_response(&headers(lines), DEFAULTS, requested, noon())
        else {
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
        stored(&[("cache-control", "max-age=0")]).lookup(noon()),
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
