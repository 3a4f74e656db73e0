//! What a purge is called: ids that sort by the time they were made at.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970 in thirteen digits, a hyphen, and sixteen hexadecimal digits of chance:
/// `1764072000000-9f86d081884c7d65`. Text and value sort alike until the year 2286.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PurgeId {
    milliseconds: u64,
    chance: u64,
}

/// First number with more digits than the text has room for.
const END: u64 = 10_000_000_000_000;

/// A text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a purge")]
pub struct NotAnId;

impl PurgeId {
    /// An id for a purge made at `now`. `chance` tells those of one millisecond apart.
    pub fn new(now: SystemTime, chance: u64) -> Self {
        Self {
            milliseconds: milliseconds(now).min(END - 1),
            chance,
        }
    }

    /// When it was made, by the clock of the instance that was asked, in milliseconds since 1970.
    pub const fn milliseconds(self) -> u64 {
        self.milliseconds
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for PurgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{:016x}", self.milliseconds, self.chance)
    }
}

impl FromStr for PurgeId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (time, chance) = text.split_once('-').ok_or(NotAnId)?;
        let plain = time.len() == 13
            && time.bytes().all(|b| b.is_ascii_digit())
            && chance.len() == 16
            && chance
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !plain {
            return Err(NotAnId);
        }
        Ok(Self {
            milliseconds: time.parse().map_err(|_| NotAnId)?,
            chance: u64::from_str_radix(chance, 16).map_err(|_| NotAnId)?,
        })
    }
}

impl TryFrom<String> for PurgeId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<PurgeId> for String {
    fn from(id: PurgeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_and_their_texts_sort_alike(a in 0..END, b in 0..END, x: u64, y: u64) {
            let id = |ms, chance| PurgeId::new(UNIX_EPOCH + Duration::from_millis(ms), chance);
            let (one, other) = (id(a, x), id(b, y));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
        }

        #[test]
        fn no_other_text_is_an_id(text in "\\PC*") {
            if let Ok(id) = text.parse::<PurgeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn names_that_are_nearly_ids_are_refused() {
        for text in [
            "",
            "1764072000000",
            "1764072000000-9F86D081884C7D65",
            "+764072000000-9f86d081884c7d65",
            "1764072000000-9f86d081884c7d65.json",
            "../4072000000-9f86d081884c7d65",
        ] {
            assert_eq!(text.parse::<PurgeId>(), Err(NotAnId), "{text}");
        }
    }
}
