//! The list of what is to be warmed: one path a line, or one JSON object a line. Pure.
//!
//! ```text
//! # a comment
//! /assets/webapp/logo.svg
//! {"path": "/assets/model.bin", "size": 1048576, "etag": "\"…\"", "sha256": "…"}
//! ```

use serde::Deserialize;

/// Longest path; longer ones no server takes.
const LONGEST: usize = 8 << 10;

/// One object to be warmed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Path of its URL, mount included, without percent-encoding.
    pub path: String,
    /// Bytes that it has.
    #[serde(default)]
    pub size: Option<u64>,
    /// Its entity tag, with or without quotes.
    #[serde(default)]
    pub etag: Option<String>,
    /// SHA-256 of its bytes, in hex.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ManifestError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// All items, or the first line that cannot be used: better than to warm half of what was meant.
pub fn parse(text: &str) -> Result<Vec<Item>, ManifestError> {
    let mut items = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let item = parse_line(line).map_err(|reason| ManifestError {
            line: i + 1,
            reason,
        })?;
        items.extend(item);
    }
    Ok(items)
}

fn parse_line(line: &str) -> Result<Option<Item>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let item = match line.starts_with('{') {
        true => serde_json::from_str::<Item>(line).map_err(|error| error.to_string())?,
        false => Item {
            path: line.to_owned(),
            size: None,
            etag: None,
            sha256: None,
        },
    };
    if !item.path.starts_with('/') {
        return Err("a path starts with a slash, such as /assets/logo.svg".into());
    }
    if item.path.len() > LONGEST {
        return Err("the path is longer than 8 KiB".into());
    }
    if let Some(hash) = &item.sha256
        && !(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err("sha256 must be 64 hex digits".into());
    }
    Ok(Some(item))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_kinds_of_lines_are_read_and_a_bad_one_is_named() {
        let text = "# all\n/a b\n\n{\"path\": \"/c\", \"size\": 3, \"etag\": \"x\"}\n";
        let items = parse(text).expect("items");
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].path.as_str(), items[1].size), ("/a b", Some(3)));
        for bad in [
            "a",
            "{",
            "{\"path\": \"/a\", \"sise\": 1}",
            "{\"path\": \"/a\", \"sha256\": \"0\"}",
        ] {
            let error = parse(&format!("/x\n{bad}\n")).expect_err(bad);
            assert_eq!(error.line, 2, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text in "(\\{|\\}|\"path\"|:|/|\n|#|1|\\PC){0,60}") {
            if let Ok(items) = parse(&text) {
                prop_assert!(items.iter().all(|item| item.path.starts_with('/')));
            }
        }
    }
}
