//! Which objects are moved, and why others are not. Pure.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::store::part_size::LARGEST_OBJECT;
use crate::store::{Listed, ObjectHead, RESERVED};

/// What an operator asked for. All of it must hold.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Keys that start so.
    pub prefix: String,
    /// Written at least as long ago.
    pub older_than: Option<Duration>,
    /// More bytes than this.
    pub larger_than: Option<u64>,
}

/// Why an object stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// Written too recently.
    TooYoung,
    /// Not large enough.
    TooSmall,
    /// The store does not say when it was written.
    NoDate,
    /// A note of our own, or a mark that only shows a folder.
    NoObject,
    /// Larger than can be copied.
    TooLarge,
    /// It was there when listed, and is not now.
    Gone,
    /// It has changed while it was being looked at; the next run sees the new one.
    Changed,
    /// The target has another object of this key.
    Differs,
    /// Without a strong entity tag no change would be noticed.
    NoEntityTag,
    /// The target is a directory, and no path can stand for the key.
    NoSuchPath,
}

impl Skip {
    /// For reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooYoung => "too young",
            Self::TooSmall => "too small",
            Self::NoDate => "no date",
            Self::NoObject => "not an object",
            Self::TooLarge => "too large",
            Self::Gone => "gone meanwhile",
            Self::Changed => "changed meanwhile",
            Self::Differs => "the target has another object of this key",
            Self::NoEntityTag => "no strong entity tag",
            Self::NoSuchPath => "no path can stand for the key",
        }
    }
}

impl Rule {
    /// Whether a listed object is to be moved.
    pub fn judge(&self, object: &Listed, now: SystemTime) -> Result<(), Skip> {
        if object.key.starts_with(RESERVED) || object.key.is_empty() || object.key.ends_with('/') {
            return Err(Skip::NoObject);
        }
        if self.larger_than.is_some_and(|size| object.size <= size) {
            return Err(Skip::TooSmall);
        }
        if let Some(age) = self.older_than {
            let modified = object.modified.ok_or(Skip::NoDate)?;
            // A date in the future is no age.
            if now.duration_since(modified).unwrap_or_default() < age {
                return Err(Skip::TooYoung);
            }
        }
        match object.size > LARGEST_OBJECT {
            true => Err(Skip::TooLarge),
            false => Ok(()),
        }
    }
}

/// Whether the object is another than the one that was judged. Dates of listings are finer than those
/// of headers.
pub(super) fn changed_since_listed(listed: &Listed, head: &ObjectHead) -> bool {
    let seconds = |time: Option<SystemTime>| {
        time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(|time| time.as_secs())
    };
    let same_tag = match (&listed.etag, &head.etag) {
        (Some(listed), Some(head)) => listed.trim_matches('"') == head.trim_matches('"'),
        _ => true,
    };
    listed.size != head.size || !same_tag || seconds(listed.modified) != seconds(head.modified)
}

/// A tag that another version cannot have.
pub(super) fn strong_tag(head: &ObjectHead) -> Option<&str> {
    let tag = head.etag.as_deref()?;
    (!tag.is_empty() && !tag.starts_with("W/")).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_rule_selects_by_age_size_and_kind() {
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let rule = Rule {
            prefix: String::new(),
            older_than: Some(90 * DAY),
            larger_than: Some(1000),
        };
        let object = |key: &str, size, days: Option<u32>| Listed {
            key: key.into(),
            size,
            modified: days.map(|days| now - days * DAY),
            etag: None,
        };
        for (object, expected) in [
            (object("a", 1001, Some(90)), Ok(())),
            (object("a", 1001, Some(89)), Err(Skip::TooYoung)),
            (object("a", 1000, Some(90)), Err(Skip::TooSmall)),
            (object("a", 1001, None), Err(Skip::NoDate)),
            (object("a/", 1001, Some(90)), Err(Skip::NoObject)),
            (
                object(".edge/records/a", 1001, Some(90)),
                Err(Skip::NoObject),
            ),
            (
                object("a", LARGEST_OBJECT + 1, Some(90)),
                Err(Skip::TooLarge),
            ),
        ] {
            assert_eq!(rule.judge(&object, now), expected, "{object:?}");
        }
        let future = Listed {
            modified: Some(now + DAY),
            ..object("a", 1001, None)
        };
        assert_eq!(rule.judge(&future, now), Err(Skip::TooYoung));
        assert_eq!(Rule::default().judge(&object("a", 0, None), now), Ok(()));
    }

    #[test]
    fn weak_and_missing_tags_are_no_versions() {
        let with = |etag: Option<&str>| ObjectHead {
            size: 0,
            etag: etag.map(str::to_owned),
            modified: None,
            attributes: crate::store::Attributes::default(),
        };
        assert_eq!(strong_tag(&with(Some("\"a\""))), Some("\"a\""));
        assert_eq!(strong_tag(&with(Some("W/\"a\""))), None);
        assert_eq!(strong_tag(&with(None)), None);
    }
}
