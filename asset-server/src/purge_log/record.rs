//! One purge as it stands in the log and goes to peers.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::answer::Name;
use super::id::PurgeId;
use crate::cache::purge::Purge;

/// Most purges in one record. More are refused; a prefix says it shorter.
pub const MOST_PURGES: usize = 10_000;

/// Longest record that is read, in bytes: the most purges of the longest keys, and some.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// A purge with its id. Several keys may go under one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: PurgeId,
    /// The instance that was asked for it.
    pub by: Name,
    /// What to remove.
    pub purges: Vec<Purge>,
}

impl Record {
    pub(super) fn new(by: Name, purges: Vec<Purge>) -> Self {
        let id = PurgeId::new(SystemTime::now(), fastrand::u64(..));
        Self { id, by, purges }
    }

    /// Reads a record that should have this id. What is not one, or is of a kind that only newer
    /// versions know, is `None`: it must not count as applied.
    pub fn parse(id: PurgeId, bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.id == id && record.purges.len() <= MOST_PURGES).then_some(record)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn record(purges: Vec<Purge>) -> Record {
        let id = PurgeId::new(UNIX_EPOCH + Duration::from_secs(1_764_072_000), 7);
        let by = Name {
            region: "ams3".into(),
            instance: "a".into(),
        };
        Record { id, by, purges }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let id = PurgeId::new(UNIX_EPOCH, 0);
            prop_assert_eq!(Record::parse(id, &bytes), None);
        }

        #[test]
        fn a_record_survives_the_log_and_a_damaged_one_is_noticed_or_equal(
            keys in prop::collection::vec("\\PC{0,20}", 0..5), cut in 0..400_usize
        ) {
            let kinds = [Purge::Key, Purge::Prefix, Purge::SurrogateKey];
            let purges = keys.into_iter().zip(kinds.iter().cycle());
            let record = record(purges.map(|(key, kind)| kind(key)).collect());
            let bytes = record.to_bytes();
            prop_assert_eq!(Record::parse(record.id, &bytes), Some(record.clone()));
            if cut < bytes.len() {
                prop_assert_eq!(Record::parse(record.id, &bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn a_kind_of_purge_that_is_not_known_is_not_skipped_but_refused() {
        let text = String::from_utf8(record(vec![Purge::Key("/a".into())]).to_bytes())
            .expect("JSON is UTF-8")
            .replace("\"key\"", "\"shape\"");
        assert_eq!(Record::parse(record(vec![]).id, text.as_bytes()), None);
    }
}
