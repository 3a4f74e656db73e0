//! What a server says it did with a request: `Cache-Status` (RFC 9211), read leniently. Pure.

/// What a cache did, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// It had the object.
    Hit,
    /// It fetched the object and keeps it.
    Stored,
    /// It fetched the object, or followed the fetch of another request, and does not say it keeps it.
    Forwarded,
    /// It said nothing.
    Nothing,
}

impl Said {
    /// For the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stored => "stored",
            Self::Forwarded => "forwarded",
            Self::Nothing => "no cache-status",
        }
    }
}

/// The cache nearest to us is the last of the list (section 2).
pub fn said(value: &str) -> Said {
    let Some(member) = split(value, ',').last() else {
        return Said::Nothing;
    };
    let mut parameters = split(member, ';').skip(1).map(str::trim).peekable();
    if parameters.peek().is_none() {
        return Said::Nothing;
    }
    let parameters: Vec<&str> = parameters.collect();
    let has = |name: &str| {
        let said = format!("{name}=?1");
        parameters.iter().any(|p| *p == name || *p == said)
    };
    match (has("hit"), has("stored")) {
        (true, _) => Said::Hit,
        (_, true) => Said::Stored,
        _ => Said::Forwarded,
    }
}

/// Splits at `separator`, but not within quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && c == separator,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_cache_counts() {
        for (value, expected) in [
            ("asset-ams3; hit; ttl=30", Said::Hit),
            (
                "asset-ams3; fwd=uri-miss; fwd-status=200; stored; ttl=30",
                Said::Stored,
            ),
            ("asset-ams3; fwd=uri-miss; collapsed", Said::Forwarded),
            ("far; hit, near; fwd=bypass", Said::Forwarded),
            ("far; fwd=miss, near; hit=?1", Said::Hit),
            ("near; fwd=miss; detail=\"a; hit, b\"", Said::Forwarded),
            ("near; fwd=miss; key=\"\\\"; hit\"", Said::Forwarded),
            ("near", Said::Nothing),
            ("", Said::Nothing),
        ] {
            assert_eq!(said(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_fall_over(value in "(;|,|\"|\\\\|hit|stored|=|\\PC){0,40}") {
            let _ = said(&value);
        }
    }
}
