//! Compares what happened in a step with what must be true after it.

use std::time::SystemTime;

use http::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH};

use crate::cache_status;
use crate::case::{Expect, Source};
use crate::client::Received;
use crate::matcher;
use crate::origin::{STEP, Seen};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What happened in a step, to one client of it.
pub(crate) struct Happened<'a> {
    pub(crate) step: usize,
    pub(crate) received: &'a Received,
    /// What the origin had seen when the answer was complete.
    pub(crate) seen: &'a [Seen],
    pub(crate) now: SystemTime,
}

/// What is not as it must be, one sentence each.
pub(crate) fn differences(expected: &Expect, happened: &Happened<'_>) -> Vec<String> {
    // A body that breaks off at once may take the head with it.
    if happened.received.head_lost && expected.cut {
        return request(expected, happened);
    }
    let mut all = Vec::new();
    all.extend(status(expected, happened.received));
    all.extend(source(expected, happened));
    all.extend(matcher::differences(
        &happened.received.headers,
        &expected.headers,
        happened.now,
    ));
    all.extend(body(expected, happened.received));
    all.extend(request(expected, happened));
    all.extend(words(expected, happened.received));
    all
}

fn status(expected: &Expect, received: &Received) -> Option<String> {
    let allowed = expected
        .status
        .as_ref()
        .map_or(&[200][..], |s| s.as_slice());
    let status = received.status.as_u16();
    (!allowed.contains(&status)).then(|| format!("the status is {status}, not {allowed:?}"))
}

fn source(expected: &Expect, happened: &Happened<'_>) -> Option<String> {
    let made_in = happened.received.headers.get(STEP);
    let made_now = made_in.is_some_and(|step| step == &happened.step.to_string());
    let asked = happened.seen.len();
    let conditional = happened.seen.last().is_some_and(|seen| {
        [IF_NONE_MATCH, IF_MODIFIED_SINCE]
            .iter()
            .any(|name| seen.headers.contains_key(name))
    });
    match expected.from? {
        Source::Cache if asked > 0 && expected.background.is_none() => Some(format!(
            "the origin was asked {asked} times, not answered from the cache"
        )),
        Source::Cache if made_now => Some("the answer is the origin's new one".into()),
        Source::Origin if asked == 0 => Some("the origin was not asked".into()),
        Source::Revalidated if asked == 0 => Some("the origin was not asked".into()),
        Source::Revalidated if !conditional => {
            Some("the origin was asked without If-None-Match or If-Modified-Since".into())
        }
        _ => None,
    }
}

fn body(expected: &Expect, received: &Received) -> Vec<String> {
    let text = String::from_utf8_lossy(&received.body);
    let mut all = Vec::new();
    if received.cut != expected.cut {
        let is = if received.cut {
            "breaks off"
        } else {
            "ends as if it were whole"
        };
        all.push(format!("the body {is} after {} bytes", received.body.len()));
    }
    if let Some(wanted) = expected.body.as_ref().filter(|wanted| **wanted != text) {
        all.push(format!("the body is {:?}, not {wanted:?}", shorten(&text)));
    }
    let length = received.body.len();
    if let Some(wanted) = expected.body_length.filter(|wanted| *wanted != length) {
        all.push(format!("the body has {length} bytes, not {wanted}"));
    }
    for piece in &expected.body_has {
        if !text.contains(piece) {
            all.push(format!("the body {:?} lacks {piece:?}", shorten(&text)));
        }
    }
    all
}

fn request(expected: &Expect, happened: &Happened<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let asked = happened.seen.len();
    if let Some(wanted) = expected.requests.filter(|wanted| *wanted != asked) {
        all.push(format!("the origin saw {asked} requests, not {wanted}"));
    }
    let looked_at = [
        &expected.seen_method,
        &expected.seen_path,
        &expected.seen_body,
    ];
    if expected.seen.is_empty() && looked_at.iter().all(|part| part.is_none()) {
        return all;
    }
    let Some(seen) = happened.seen.last() else {
        all.push("the origin was not asked, so its request cannot be looked at".into());
        return all;
    };
    let headers = matcher::differences(&seen.headers, &expected.seen, happened.now);
    all.extend(
        headers
            .iter()
            .map(|text| format!("in the request to the origin, {text}")),
    );
    let body = String::from_utf8_lossy(&seen.body);
    for (part, wanted, found) in [
        ("method", &expected.seen_method, &*seen.method),
        ("path", &expected.seen_path, &*seen.path),
        ("body", &expected.seen_body, &*body),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            all.push(format!(
                "the origin saw the {part} {found:?}, not {wanted:?}"
            ));
        }
    }
    all
}

fn words(expected: &Expect, received: &Received) -> Vec<String> {
    let lines = received.headers.get_all(CACHE_STATUS).iter();
    let lines: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect();
    let value = lines.join(", ");
    let found = cache_status::last_member(&value);
    let holds = |wanted: &String| match wanted.strip_prefix('!') {
        Some(unwanted) => !has(&found, unwanted),
        None => has(&found, wanted),
    };
    let failed = expected.cache_status.iter().filter(|wanted| !holds(wanted));
    failed
        .map(|wanted| format!("cache-status is {value:?}, against {wanted:?}"))
        .collect()
}

/// `fwd` alone stands for any value; `fwd=miss|uri-miss` for one of two.
fn has(found: &[String], wanted: &str) -> bool {
    let (name, values) = wanted
        .split_once('=')
        .map_or((wanted, None), |(name, values)| (name, Some(values)));
    found.iter().any(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        key == name && values.is_none_or(|values| values.split('|').any(|one| one == value))
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}
