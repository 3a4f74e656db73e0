//! `Content-Disposition` for a download that was asked for with `?download` (RFC 6266, RFC 8187).
//!
//! The name is that of the object, never one from the query: who sends a link could otherwise give our
//! files names such as `invoice.exe`. Saving instead of showing is the safe direction, so the parameter
//! needs no signature; it is off unless the mount allows it, since an HTTP origin may use the same name.

use std::fmt::Write as _;

use http::HeaderValue;

/// The query parameter.
pub const PARAMETER: &str = "download";

/// Whether a query asks for a download: `?download`, with or without a value.
pub fn is_download(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(PARAMETER))
}

/// `attachment` with the name of the object of a key. ASCII letters are given to all clients, with `_` for
/// the rest; whatever else is in the name follows in the form of RFC 8187, which newer ones prefer.
pub fn attachment(key: &str) -> HeaderValue {
    let name = key
        .rsplit('/')
        .find(|segment| !segment.is_empty())
        .unwrap_or("download");
    let plain = |c: char| c.is_ascii_alphanumeric() || " !#$&+-.^_`{}~()[],@".contains(c);
    let fallback: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let mut value = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            // RFC 8187 section 3.2.1, attr-char.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_objects_own_name_is_offered() {
        for (key, value) in [
            ("/a/model.onnx", "attachment; filename=\"model.onnx\""),
            (
                "/a/my file (1).txt",
                "attachment; filename=\"my file (1).txt\"",
            ),
            (
                "/a/é.txt",
                "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt",
            ),
            (
                "/a/q\"uote;.txt",
                "attachment; filename=\"q_uote_.txt\"; filename*=UTF-8''q%22uote%3B.txt",
            ),
            (
                "/a/100%.txt",
                "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt",
            ),
            ("/a/dir/", "attachment; filename=\"dir\""),
            ("/", "attachment; filename=\"download\""),
        ] {
            assert_eq!(attachment(key), value, "{key}");
        }
    }

    #[test]
    fn only_the_parameter_itself_asks_for_a_download() {
        for (query, asked) in [
            ("download", true),
            ("download=1", true),
            ("v=2&download", true),
            ("", false),
            ("downloads", false),
            ("v=download", false),
            ("Download", false),
        ] {
            assert_eq!(is_download(query), asked, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_quotes(key in "(/\\PC{0,20}){1,3}") {
            let value = attachment(&key);
            let text = value.to_str().expect("visible ASCII");
            prop_assert!(text.starts_with("attachment; filename=\""));
            prop_assert_eq!(text.matches('"').count(), 2);
            prop_assert!(!text.contains('\\') && !text.contains('/'));
        }
    }
}
