//! What may be said of a header: in a request or an answer as it is sent, in an expectation as a
//! condition.
//!
//! | written | sent | expected |
//! | --- | --- | --- |
//! | `text` | that line | these lines, joined with `, `, are that |
//! | `5`, in a date field | the date 5 seconds from now | that date |
//! | `5`, else | `5` | `5` |
//! | `[a, b]` | two lines | these lines |
//! | `null` | nothing | it is missing |
//! | `true` | | it is there |
//! | `{min: 1, max: 9}` | | a number in this range |
//! | `{has: text}`, `{lacks: text}`, `{not: text}` | | its lines, joined, have, lack or are not that |
//! | `{any: [a, b]}` | | one of these |

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{
    DATE, EXPIRES, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED,
};
use serde_json::{Map, Value};

/// Fields in which a number is a date.
const DATES: [HeaderName; 6] = [
    DATE,
    EXPIRES,
    LAST_MODIFIED,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
];

/// Puts what is written into `headers`, instead of what is there.
pub(crate) fn write(headers: &mut HeaderMap, written: &Map<String, Value>, now: SystemTime) {
    for (name, value) in written {
        let name = HeaderName::try_from(name.as_str()).expect("a header's name");
        headers.remove(&name);
        for line in lines(&name, value, now) {
            let line = HeaderValue::from_bytes(line.as_bytes()).expect("a header's value");
            headers.append(&name, line);
        }
    }
}

/// What is wrong with `headers`, one sentence each.
pub(crate) fn differences(
    headers: &HeaderMap,
    expected: &Map<String, Value>,
    now: SystemTime,
) -> Vec<String> {
    let differences = expected.iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).expect("a header's name");
        let found: Vec<String> = headers
            .get_all(&name)
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect();
        let wanted = wanted(&name, value, &found, now)?;
        Some(match found.is_empty() {
            true => format!("{name} is missing, not {wanted}"),
            false => format!("{name} is {:?}, not {wanted}", found.join(", ")),
        })
    });
    differences.collect()
}

/// What was wanted, where it is not so.
fn wanted(name: &HeaderName, value: &Value, found: &[String], now: SystemTime) -> Option<String> {
    let joined = found.join(", ");
    let (holds, wanted) = match value {
        Value::Null => (found.is_empty(), "missing".to_owned()),
        Value::Bool(there) => (*there != found.is_empty(), "there".to_owned()),
        Value::Array(_) => {
            let wanted = lines(name, value, now);
            (found == wanted, format!("{wanted:?} in lines"))
        }
        Value::Object(conditions) => {
            let failed = conditions
                .iter()
                .find(|(word, operand)| !holds(word, operand, found, &joined));
            (failed.is_none(), format!("{value}"))
        }
        _ => {
            let wanted = lines(name, value, now).concat();
            (!found.is_empty() && joined == wanted, format!("{wanted:?}"))
        }
    };
    (!holds).then_some(wanted)
}

fn holds(word: &str, operand: &Value, found: &[String], joined: &str) -> bool {
    let text = operand.as_str().unwrap_or_default();
    let number = joined.parse::<i64>().ok();
    match (word, operand.as_i64()) {
        ("min", Some(least)) => number.is_some_and(|number| number >= least),
        ("max", Some(most)) => number.is_some_and(|number| number <= most),
        ("has", _) => joined.contains(text),
        ("lacks", _) => !joined.contains(text),
        ("not", _) => !found.is_empty() && joined != text,
        ("any", _) => operand
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == joined)),
        _ => panic!("{word}: {operand} is no condition"),
    }
}

fn lines(name: &HeaderName, value: &Value, now: SystemTime) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) if DATES.contains(name) => {
            vec![date(now, number.as_i64().expect("whole seconds"))]
        }
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values
            .iter()
            .flat_map(|value| lines(name, value, now))
            .collect(),
        other => panic!("{name}: {other} cannot be sent"),
    }
}

fn date(now: SystemTime, seconds: i64) -> String {
    let span = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now - span } else { now + span })
}
