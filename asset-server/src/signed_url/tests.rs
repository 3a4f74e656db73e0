//! Signatures that hold, and all the ways in which they must not.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;
use serving::secret::Secret;

use super::*;

const PATH: &str = "/assets/team/model one.onnx";
const EXPIRES: u64 = 1_767_225_600;

fn key(id: &str, seed: &str) -> SigningKey {
    SigningKey::new(id, &Secret::new(seed.repeat(MIN_SECRET))).expect("a usable key")
}

fn keys() -> Keys {
    Keys::new(
        vec![key("old", "o"), key("new", "n")],
        Duration::from_secs(5),
    )
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn permit(scope: Scope) -> Permit {
    Permit {
        scope,
        expires: EXPIRES,
        client: None,
    }
}

fn sign(permit: &Permit) -> String {
    key("new", "n").sign(permit)
}

struct Asked {
    path: String,
    query: Option<String>,
    cookies: Vec<String>,
    client: Option<IpAddr>,
    now: u64,
}

impl Asked {
    fn with(query: &str) -> Self {
        Self {
            path: PATH.into(),
            query: Some(query.into()),
            cookies: Vec::new(),
            client: None,
            now: EXPIRES - 60,
        }
    }

    fn outcome(&self) -> Result<Grant, Refusal> {
        let mut headers = HeaderMap::new();
        for cookie in &self.cookies {
            headers.append(COOKIE, HeaderValue::try_from(cookie).expect("a value"));
        }
        let claim = Claim {
            method: &Method::GET,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &headers,
            client: self.client,
        };
        verify(&keys(), &claim, at(self.now))
    }

    fn refusal(&self) -> Option<Refusal> {
        self.outcome().err()
    }
}

fn for_path() -> String {
    sign(&permit(
        Scope::path("/assets/team/model%20one.onnx").expect("a path"),
    ))
}

fn for_prefix() -> String {
    sign(&permit(Scope::prefix("/assets/team/").expect("a prefix")))
}

#[test]
fn a_signed_path_is_granted_until_it_expires() {
    let mut asked = Asked::with(&for_path());
    let granted = Grant {
        key: "new".into(),
        expires: EXPIRES,
    };
    assert_eq!(asked.outcome(), Ok(granted));
    for (now, refusal) in [
        (0, None),
        (EXPIRES, None),
        (EXPIRES + 5, None), // clocks differ
        (EXPIRES + 6, Some(Refusal::Expired)),
        (u64::from(u32::MAX) * 2, Some(Refusal::Expired)),
    ] {
        asked.now = now;
        assert_eq!(asked.refusal(), refusal, "{now}");
    }
}

#[test]
fn a_prefix_covers_whole_segments_below_it_and_nothing_else() {
    let mut asked = Asked::with(&for_prefix());
    for (path, refusal) in [
        ("/assets/team/a", None),
        ("/assets/team/a/b.ts", None),
        ("/assets/team/", None),
        ("/assets/team", Some(Refusal::Scope)),
        ("/assets/team-b/a", Some(Refusal::Scope)),
        ("/assets/", Some(Refusal::Scope)),
        ("/other/assets/team/a", Some(Refusal::Scope)),
    ] {
        asked.path = path.into();
        assert_eq!(asked.refusal(), refusal, "{path}");
    }
}

#[test]
fn a_prefix_that_ends_inside_a_segment_cannot_even_be_signed() {
    assert_eq!(Scope::prefix("/assets/te"), Err(UnusablePath::Prefix));
    assert!(matches!(
        Scope::prefix("/assets/../"),
        Err(UnusablePath::Key(_))
    ));
    assert!(matches!(Scope::path("/a/%0a"), Err(UnusablePath::Key(_))));
    let forged = for_prefix().replace("/assets/team/", "/assets/te");
    assert_eq!(Asked::with(&forged).refusal(), Some(Refusal::Malformed));
}

#[test]
fn whatever_is_changed_about_a_signed_url_is_refused_by_name() {
    use Refusal::{Malformed, Missing, Scope as OtherScope, Signature, UnknownKey};
    let (path, prefix) = (for_path(), for_prefix());
    let without = |name: &str| -> String {
        let kept: Vec<_> = path
            .split('&')
            .filter(|pair| !pair.starts_with(name))
            .collect();
        kept.join("&")
    };
    for (query, refusal) in [
        (String::new(), Missing),
        ("v=3&Edge-Signature=x".into(), Missing),
        ("edge%2dsignature=x".into(), Missing),
        (without("edge-signature"), Malformed),
        (without("edge-expires"), Malformed),
        (without("edge-key"), Malformed),
        (format!("{path}&edge-expires=9999999999"), Malformed),
        (format!("{path}&{path}"), Malformed),
        (format!("{path}&edge-key"), Malformed),
        (path.replace(&EXPIRES.to_string(), "9999999999"), Signature),
        (path.replace(&EXPIRES.to_string(), "+1767225600"), Malformed),
        (
            path.replace(&EXPIRES.to_string(), "99999999999999999999999"),
            Malformed,
        ),
        (path.replace(&EXPIRES.to_string(), ""), Malformed),
        (path.replace("=new", "=old"), Signature),
        (path.replace("=new", "=newer"), UnknownKey),
        (path.replace("=new", "=%6eew"), Malformed),
        (path[..path.len() - 1].into(), Malformed),
        (path[..path.len() - 4].into(), Malformed),
        (format!("{path}A"), Malformed),
        (format!("{path}="), Malformed),
        (format!("{path}&edge-scope=prefix:/assets/team/"), Signature),
        (format!("{path}&edge-scope=prefix:/"), Signature),
        (format!("{path}&edge-scope=everything"), Malformed),
        (format!("{path}&edge-scope=%ff"), Malformed),
        (format!("{path}&edge-client=0.0.0.0/0"), Signature),
        (format!("{path}&edge-client=me"), Malformed),
        (prefix.replace("/assets/team/", "/assets/"), Signature),
        (
            prefix.replace("/assets/team/", "/assets/team/%0a/"),
            Malformed,
        ),
        (prefix.replace("prefix:/assets/team/", "path"), Signature),
    ] {
        assert_eq!(Asked::with(&query).refusal(), Some(refusal), "{query}");
    }
    let mut elsewhere = Asked::with(&path);
    elsewhere.path = "/assets/team/other.onnx".into();
    assert_eq!(elsewhere.refusal(), Some(Signature), "of another path");
    elsewhere.query = Some(prefix);
    elsewhere.path = "/private/other.onnx".into();
    assert_eq!(elsewhere.refusal(), Some(OtherScope), "of another tree");
}

#[test]
fn other_parameters_are_no_business_of_a_signature() {
    let query = format!("v=3&{}&download", for_path().replace('&', "&x=1&"));
    assert_eq!(Asked::with(&query).refusal(), None);
    assert_eq!(strip(&query), "v=3&x=1&x=1&download");
    assert_eq!(strip(&for_prefix()), "");
    assert!(matches!(strip("a=1&&b"), Cow::Borrowed("a=1&&b")));
}

#[test]
fn a_signature_reads_and_does_nothing_else() {
    let (query, headers) = (for_path(), HeaderMap::new());
    for method in [Method::PUT, Method::DELETE, Method::POST, Method::OPTIONS] {
        let claim = Claim {
            method: &method,
            path: PATH,
            query: Some(&query),
            headers: &headers,
            client: None,
        };
        let judged = verify(&keys(), &claim, at(EXPIRES)).err();
        assert_eq!(judged, Some(Refusal::Scope), "{method}");
    }
}

#[test]
fn a_client_scope_is_a_network_and_an_unknown_client_is_outside() {
    let mut permit = permit(Scope::path(PATH).expect("a path"));
    permit.client = Some("203.0.113.7/24".parse().expect("a network"));
    let mut asked = Asked::with(&sign(&permit));
    for (client, refusal) in [
        (Some("203.0.113.200"), None),
        (Some("::ffff:203.0.113.200"), None),
        (Some("203.0.114.1"), Some(Refusal::Client)),
        (Some("2001:db8::1"), Some(Refusal::Client)),
        (None, Some(Refusal::Client)),
    ] {
        asked.client = client.map(|text| text.parse().expect("an address"));
        assert_eq!(asked.refusal(), refusal, "{client:?}");
    }
}

#[test]
fn the_cookie_counts_where_the_query_has_nothing_of_ours() {
    let mut asked = Asked::with("v=3");
    asked.cookies = vec![format!("a=b; edge-signature={}; c", for_prefix())];
    assert_eq!(asked.refusal(), None);
    // One for a tree elsewhere comes first, and does not spoil the next.
    asked.cookies = vec![
        format!(
            "edge-signature={}",
            sign(&permit(Scope::prefix("/b/").expect("a prefix")))
        ),
        format!("edge-signature={}", for_prefix()),
    ];
    assert_eq!(asked.refusal(), None);
    asked.query = Some("edge-signature=wrong".into());
    assert_eq!(
        asked.refusal(),
        Some(Refusal::Malformed),
        "the query goes first"
    );
    asked.query = None;
    asked.cookies = vec!["edge-signature=".into()];
    assert_eq!(asked.refusal(), Some(Refusal::Malformed));
    asked.cookies = vec![
        "edge-signature=x; ".repeat(MAX_COOKIES) + &format!("edge-signature={}", for_prefix()),
    ];
    assert_eq!(
        asked.refusal(),
        Some(Refusal::Malformed),
        "the fifth is not looked at"
    );
}

#[test]
fn a_weak_secret_and_an_odd_id_are_no_key() {
    let short = Secret::new("x".repeat(MIN_SECRET - 1));
    assert_eq!(SigningKey::new("a", &short).err(), Some(UnusableKey::Short));
    let secret = Secret::new("x".repeat(MIN_SECRET));
    for id in ["", "a b", "a&b", "a\nb", "é", &"a".repeat(65)] {
        assert_eq!(
            SigningKey::new(id, &secret).err(),
            Some(UnusableKey::Id),
            "{id:?}"
        );
    }
}

/// What any other implementation must come to: `docs/tasks/private-assets.md` gives it in Python.
#[test]
fn the_signed_message_is_what_the_documentation_says() {
    let mut permit = permit(Scope::prefix("/assets/team/").expect("a prefix"));
    permit.client = Some("203.0.113.0/24".parse().expect("a network"));
    let message = "edge1\nread\nnew\n1767225600\nprefix\n/assets/team/\n203.0.113.0/24\n";
    assert_eq!(permit.message("new"), message.as_bytes());
    let permit = Permit {
        client: None,
        scope: Scope::Path("/é".into()),
        expires: 7,
    };
    assert_eq!(
        permit.message("k"),
        "edge1\nread\nk\n7\npath\n/é\n\n".as_bytes()
    );
}

proptest! {
    #[test]
    fn what_is_signed_is_granted(path in "(/[a-z%é +&=.-]{1,8}x){1,4}", prefix in any::<bool>(), expires in 1u64..10_000_000_000) {
        let below = format!("{path}/");
        let made = if prefix { Scope::prefix(&below) } else { Scope::path(&path) };
        let Ok(scope) = made else { return Ok(()) };
        let wanted = if prefix { format!("{}file", scope.as_str()) } else { scope.as_str().to_owned() };
        let mut asked = Asked::with(&sign(&Permit { scope, expires, client: None }));
        (asked.path, asked.now) = (wanted, expires);
        prop_assert_eq!(asked.refusal(), None);
    }

    #[test]
    fn no_change_of_one_byte_keeps_a_signature(at in 0usize..120, byte in 33u8..127, prefix in any::<bool>()) {
        let good = if prefix { for_prefix() } else { for_path() };
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).expect("ASCII");
        // A letter that became `%`-less is the only thing that may not matter, and it is the same text then.
        prop_assert!(changed == good || Asked::with(&changed).refusal().is_some(), "{}", changed);
    }

    #[test]
    fn no_query_is_granted_or_panics(query in "((edge-(expires|key|scope|client|signature)=)?[a-z0-9:/%&=+.-]{0,12}&?){0,8}") {
        prop_assert!(Asked::with(&query).outcome().is_err());
        let stripped = strip(&query).into_owned();
        prop_assert_eq!(strip(&stripped), stripped.as_str());
        let mut asked = Asked::with(&stripped);
        prop_assert_eq!(asked.refusal(), Some(Refusal::Missing));
        asked.cookies = vec![format!("edge-signature={query}")];
        prop_assert!(asked.outcome().is_err());
    }
}
