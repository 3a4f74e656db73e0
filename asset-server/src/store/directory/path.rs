//! Which keys can be files, and where. Pure.

use std::path::PathBuf;

use crate::store::{RESERVED, StoreError};

/// Longest name that Linux file systems take.
const LONGEST_NAME: usize = 255;

/// The path of a key under the store's directory. S3 has keys that no path can stand for: those with
/// empty, `.` or `..` segments, which file systems would take for another key.
pub(super) fn relative_path(key: &str) -> Result<PathBuf, StoreError> {
    if let Some(rest) = key.strip_prefix(RESERVED)
        && !rest.starts_with("records/")
    {
        return Err(StoreError::Key("the folder .edge is not for objects"));
    }
    if key.bytes().any(|b| b == 0) {
        return Err(StoreError::Key("a zero byte"));
    }
    for segment in key.split('/') {
        match segment {
            "" | "." | ".." => {
                return Err(StoreError::Key("a segment that is empty or made of dots"));
            }
            _ if segment.len() > LONGEST_NAME => {
                return Err(StoreError::Key("a segment longer than 255 bytes"));
            }
            _ => {}
        }
    }
    Ok(PathBuf::from(key))
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_never_leads_out_and_no_two_keys_share_one(key in "([a.\\\\/\0é-]|\\.\\.|\\.edge){0,12}") {
            if let Ok(path) = relative_path(&key) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                // The path is the key again, so two keys cannot be one path.
                let names: Vec<_> = path.components().map(|part| part.as_os_str().to_str().expect("text")).collect();
                prop_assert_eq!(names.join("/"), key);
            }
        }
    }

    #[test]
    fn keys_that_no_file_can_have_are_refused() {
        let long = "x".repeat(256);
        for key in [
            "",
            "/",
            "a//b",
            "a/",
            "../a",
            "a/./b",
            ".edge/objects/x",
            "a\0",
            &long,
        ] {
            assert!(relative_path(key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b.txt", ".edges", ".edge/records/x", "a b/…"] {
            assert!(relative_path(key).is_ok(), "{key:?}");
        }
    }
}
