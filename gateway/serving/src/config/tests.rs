use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Document, Invalid};
use crate::units::{ByteSize, Duration};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "parsed for its errors")]
struct Sample {
    listeners: Vec<Listener>,
    #[serde(default)]
    named: BTreeMap<String, Listener>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "parsed for its errors")]
struct Listener {
    port: u16,
    timeout: Option<Duration>,
    buffer: Option<ByteSize>,
}

fn error(text: &str) -> String {
    match Document::from_text("edge.yaml", text).parse::<Sample>() {
        Ok(sample) => format!("parsed: {sample:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_error_names_file_line_key_and_reason() {
    for (text, start, part) in [
        (
            "listeners:\n  - port: 80\n    colour: red\n",
            "edge.yaml:3: listeners[0]",
            "unknown field",
        ),
        (
            "listeners:\n  - port: 80\n  - port: eighty\n",
            "edge.yaml:3: listeners[1].port: ",
            "invalid",
        ),
        (
            "listeners:\n  - port: 80\n    timeout: 30\n",
            "edge.yaml:3: listeners[0].timeout: ",
            "such as 30s",
        ),
        (
            "listeners: []\nnamed:\n  a:\n    port: 1\n    buffer: 12 apples\n",
            "edge.yaml:5: named.a.buffer: ",
            "such as 512MiB",
        ),
        (
            "listeners:\n  - timeout: 30s\n",
            "edge.yaml:2: listeners[0]",
            "missing field",
        ),
        ("listeners: [\n", "edge.yaml", ""),
    ] {
        let error = error(text);
        assert!(
            error.starts_with(start),
            "{error}\nshould start with {start}"
        );
        assert!(error.contains(part), "{error}\nshould contain {part}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_fault_in_the_meaning_is_located_too() {
    let document = Document::from_text("edge.yaml", "listeners:\n  - port: 80\n  - port: 80\n");
    let invalid = Invalid::new("port", "port 80 is used twice")
        .within("[1]")
        .within("listeners");
    assert_eq!(
        document.locate(invalid).to_string(),
        "edge.yaml:3: listeners[1].port: port 80 is used twice"
    );
    let missing = document.locate(Invalid::new("regions", "at least one region is needed"));
    assert_eq!(
        missing.to_string(),
        "edge.yaml:1: regions: at least one region is needed"
    );
}
