//! Tables of origins, requests and preflights.

use proptest::prelude::*;

use super::*;

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn policy(origins: &[&str], headers: &[&str], credentials: bool) -> Result<Policy, UnusableTerms> {
    Policy::new(&Terms {
        allowed_origins: &owned(origins),
        allowed_methods: &owned(&["GET", "HEAD"]),
        allowed_headers: &owned(headers),
        exposed_headers: &owned(&["etag", "content-range"]),
        max_age: Duration::from_secs(600),
        allow_credentials: credentials,
    })
}

fn request(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        (
            name.clone(),
            HeaderValue::try_from(*value).expect("a value"),
        )
    });
    lines.collect()
}

fn says(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().expect("text").to_owned())
        .collect();
    lines.join(" | ")
}

/// What a simple request of this origin is told.
fn answered(policy: &Policy, origin: Option<&str>) -> HeaderMap {
    let request = match origin {
        Some(origin) => request(&[(ORIGIN, origin)]),
        None => HeaderMap::new(),
    };
    let mut response = HeaderMap::new();
    response.insert(
        ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("https://the-store.example"),
    );
    policy.apply(policy.decide(&Method::GET, &request), &mut response);
    response
}

#[test]
fn an_origin_is_allowed_if_it_is_one_of_those_written() {
    let listed = policy(
        &[
            "https://app.example.com",
            "https://*.example.org",
            "http://*.local.test:8080",
            "http://[::1]:3000",
        ],
        &[],
        false,
    )
    .expect("a policy");
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://app.example.com:443", false),
        ("https://app.example.com.evil.example", false),
        ("http://app.example.com", false),
        ("https://a.example.org", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("https://.example.org", false),
        ("https://evilexample.org", false),
        ("https://evil.example/.example.org", false),
        ("https://evil.example:1@a.example.org", false),
        ("http://a.local.test:8080", true),
        ("http://a.local.test", false),
        ("http://[::1]:3000", true),
        ("null", false),
        ("*", false),
        ("", false),
    ] {
        let response = answered(&listed, Some(origin));
        let expected = if allowed { origin } else { "" };
        assert_eq!(
            says(&response, &ACCESS_CONTROL_ALLOW_ORIGIN),
            expected,
            "{origin}"
        );
        assert_eq!(says(&response, &VARY), "origin", "{origin}");
        let exposed = if allowed { "etag, content-range" } else { "" };
        assert_eq!(says(&response, &ACCESS_CONTROL_EXPOSE_HEADERS), exposed);
    }
    assert_eq!(
        says(&answered(&listed, None), &VARY),
        "origin",
        "without an origin too"
    );
}

#[test]
fn any_origin_gets_the_same_answer_and_so_nothing_varies() {
    let any = policy(&["*"], &[], false).expect("a policy");
    for origin in ["https://x.example", "null"] {
        let response = answered(&any, Some(origin));
        assert_eq!(says(&response, &ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert_eq!(says(&response, &VARY), "");
    }
    assert_eq!(
        says(&answered(&any, None), &ACCESS_CONTROL_ALLOW_ORIGIN),
        ""
    );
}

#[test]
fn credentials_come_only_with_a_named_origin() {
    assert_eq!(
        policy(&["*"], &[], true).err(),
        Some(UnusableTerms::AnyWithCredentials)
    );
    let policy = policy(&["https://*.example.com"], &[], true).expect("a policy");
    let response = answered(&policy, Some("https://a.example.com"));
    assert_eq!(says(&response, &ACCESS_CONTROL_ALLOW_CREDENTIALS), "true");
    assert_eq!(
        says(&response, &ACCESS_CONTROL_ALLOW_ORIGIN),
        "https://a.example.com"
    );
    let response = answered(&policy, Some("https://b.example"));
    assert_eq!(says(&response, &ACCESS_CONTROL_ALLOW_CREDENTIALS), "");
}

#[test]
fn a_preflight_is_granted_if_all_that_it_asks_for_is() {
    let origin = "https://app.example.com";
    let listed = policy(&[origin], &["Range", "If-Match"], false).expect("a policy");
    let any = policy(&["*"], &["*"], false).expect("a policy");
    for (policy, from, method, headers, granted) in [
        (&listed, origin, "GET", Some("range, IF-MATCH"), true),
        (&listed, origin, "HEAD", None, true),
        (&listed, origin, "GET", Some(""), true),
        (&listed, origin, "PUT", None, false),
        (&listed, origin, "get", None, false),
        (&listed, origin, "GET", Some("range, x-other"), false),
        (&listed, origin, "GET", Some("ra nge"), false),
        (&listed, "https://b.example", "GET", None, false),
        (&any, "https://b.example", "GET", Some("x-anything"), true),
        (
            &any,
            "https://b.example",
            "GET",
            Some("authorization"),
            false,
        ),
    ] {
        let mut lines = vec![(ORIGIN, from), (ACCESS_CONTROL_REQUEST_METHOD, method)];
        lines.extend(headers.map(|headers| (ACCESS_CONTROL_REQUEST_HEADERS, headers)));
        let request = request(&lines);
        let Decision::Preflight(preflight) = policy.decide(&Method::OPTIONS, &request) else {
            panic!("{lines:?} is a preflight");
        };
        let response = policy.answer_preflight(preflight);
        let allowed = response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed, granted, "{lines:?}");
        assert!(says(&response, &VARY).contains("access-control-request-headers"));
        if granted {
            assert_eq!(says(&response, &ACCESS_CONTROL_ALLOW_METHODS), "GET, HEAD");
            assert_eq!(says(&response, &ACCESS_CONTROL_MAX_AGE), "600");
            assert_eq!(
                says(&response, &ACCESS_CONTROL_ALLOW_HEADERS),
                headers.unwrap_or("")
            );
        }
    }
}

#[test]
fn only_options_with_a_method_asked_for_is_a_preflight() {
    let policy = policy(&["*"], &[], false).expect("a policy");
    let asked = request(&[
        (ORIGIN, "https://a.example"),
        (ACCESS_CONTROL_REQUEST_METHOD, "GET"),
    ]);
    assert!(matches!(
        policy.decide(&Method::GET, &asked),
        Decision::Allowed(_)
    ));
    let plain = request(&[(ORIGIN, "https://a.example")]);
    assert!(matches!(
        policy.decide(&Method::OPTIONS, &plain),
        Decision::Allowed(_)
    ));
    let no_origin = request(&[(ACCESS_CONTROL_REQUEST_METHOD, "GET")]);
    assert_eq!(policy.decide(&Method::OPTIONS, &no_origin), Decision::Plain);
}

#[test]
fn odd_terms_are_refused() {
    for origin in [
        "example.com",
        "https://",
        "https://*",
        "https://*.",
        "https://a.example/",
        "https://A.example",
        "https://a.*.example",
        "https://a.example:99999",
        "https://a.example:080",
        "https://..example",
        "*.example.com",
        "",
    ] {
        let refused = policy(&[origin], &[], false).err();
        assert_eq!(
            refused,
            Some(UnusableTerms::Origin(origin.into())),
            "{origin}"
        );
    }
    let refused = policy(&["*"], &["a b"], false).err();
    assert_eq!(refused, Some(UnusableTerms::Header("a b".into())));
}

proptest! {
    #[test]
    fn no_origin_outside_of_a_domain_is_taken_for_one_inside(origin in "(https?://)?[a-z./:@#?\\\\-]{0,20}(example\\.com)?[a-z.:/-]{0,8}") {
        let policy = policy(&["https://*.example.com"], &[], false).expect("a policy");
        let request = request(&[(ORIGIN, &origin)]);
        if let Decision::Allowed(_) = policy.decide(&Method::GET, &request) {
            let uri: http::Uri = origin.parse().expect("an allowed origin is a URL");
            prop_assert_eq!(uri.scheme_str(), Some("https"));
            prop_assert!(uri.host().is_some_and(|host| host.ends_with(".example.com")));
        }
    }
}
