//! Entity tags of coded representations: `"abc"` becomes `"abc-zstd"`.
//!
//! A strong tag stands for one sequence of bytes (RFC 9110 sections 8.8.1 and 8.8.3.3), so each coding has
//! its own, and two makings of one coding are the same bytes (see [`super::encoder`]). The stored tag stays readable in it, because that is the one that the origin is asked about.

use http::HeaderValue;

use super::Coding;

/// The tag of a coded representation, from that of the uncoded one, weak or strong. `None` if that is no
/// tag.
pub fn coded(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let inner = tag.as_bytes().strip_suffix(b"\"")?;
    if !inner.starts_with(b"\"") && !inner.starts_with(b"W/\"") {
        return None;
    }
    let mut coded = inner.to_vec();
    coded.push(b'-');
    coded.extend_from_slice(coding.as_str().as_bytes());
    coded.push(b'"');
    HeaderValue::from_bytes(&coded).ok()
}

/// The tag of the uncoded representation, from that of one coded so. `None` if it is not of this coding.
///
/// An origin's own tag may end alike, so this is for the tag of a variant known to be coded, never for
/// what a client sent: that is compared with [`coded`].
pub fn uncoded(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let inner = tag.as_bytes().strip_suffix(b"\"")?;
    let inner = inner.strip_suffix(coding.as_str().as_bytes())?;
    let mut stored = inner.strip_suffix(b"-")?.to_vec();
    if !stored.starts_with(b"\"") && !stored.starts_with(b"W/\"") {
        return None;
    }
    stored.push(b'"');
    HeaderValue::from_bytes(&stored).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        for (tag, expected) in [
            ("\"abc\"", Some("\"abc-zstd\"")),
            ("W/\"abc\"", Some("W/\"abc-zstd\"")),
            ("\"\"", Some("\"-zstd\"")),
            ("\"abc-gzip\"", Some("\"abc-gzip-zstd\"")),
            ("abc", None),
            ("\"", None),
            ("", None),
        ] {
            let coded = coded(&HeaderValue::from_static(tag), Coding::Zstd);
            assert_eq!(
                coded.as_ref().map(|tag| tag.as_bytes()),
                expected.map(str::as_bytes),
                "{tag}"
            );
        }
        let other = HeaderValue::from_static("\"abc-gzip\"");
        assert_eq!(uncoded(&other, Coding::Zstd), None, "of another coding");
        assert_eq!(
            uncoded(&HeaderValue::from_static("\"gzip\""), Coding::Gzip),
            None
        );
    }

    proptest! {
        #[test]
        fn the_stored_tag_comes_back(opaque in "[!#-~]{0,40}", weak in any::<bool>(), which in 0usize..3) {
            let tag = HeaderValue::try_from(format!("{}\"{opaque}\"", if weak { "W/" } else { "" })).expect("a tag");
            let coding = Coding::ALL[which];
            let made = coded(&tag, coding).expect("a tag");
            prop_assert_ne!(&made, &tag);
            prop_assert_eq!(uncoded(&made, coding), Some(tag));
        }
    }
}
