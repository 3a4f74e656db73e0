//! The journal's records as bytes: `mark · kind · length · id · size · CRC32C · [tags] · key`,
//! little-endian. The length is that of tags, which begin with their number, and key.
//!
//! Pure. A record that is damaged is skipped to the next mark whose checksum is right, so one bad
//! sector costs the records in it and not those behind it.

use std::io::{self, Read};

use crate::cache::surrogate::Tag;

/// First byte of every record, and the format's version.
const MARK: u8 = 0xE1;

/// Bytes of a record without its key.
const FIXED: usize = 24;

/// Longest key with its tags that is recorded; files of longer ones have their heads read.
const MAX_KEY: usize = 8 << 10;

/// Bytes read at once; the longest record fits many times.
const BUFFER: usize = 1 << 20;

/// Damaged bytes after which the rest is given up: looking for records in noise takes time.
const MOST_SKIPPED: u64 = 1 << 20;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// It was published.
    Insert {
        /// Id and name of the file.
        id: u64,
        /// Bytes of the file.
        size: u64,
        /// Whether it is in the main queue.
        main: bool,
        /// Its surrogate keys.
        tags: &'a [Tag],
        /// Key of the object.
        key: &'a str,
    },
    /// It moved to the main queue.
    Promote {
        /// Id and name of the file.
        id: u64,
    },
    /// It is to be deleted.
    Remove {
        /// Id and name of the file.
        id: u64,
    },
}

/// What was found in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sound records.
    pub records: u64,
    /// Bytes that were none.
    pub skipped: u64,
}

impl Record<'_> {
    /// Appends the record to `bytes`; nothing if its key is too long to be recorded.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let (kind, id, size, tags, key) = match *self {
            Self::Insert {
                id,
                size,
                main,
                tags,
                key,
            } => {
                let tagged = if tags.is_empty() { 0 } else { 4 };
                (1 + u8::from(main) + tagged, id, size, tags, key)
            }
            Self::Promote { id } => (3, id, 0, &[][..], ""),
            Self::Remove { id } => (4, id, 0, &[][..], ""),
        };
        let mut head = Vec::new();
        if !tags.is_empty() {
            let Ok(count) = u8::try_from(tags.len()) else {
                return;
            };
            head.push(count);
            head.extend_from_slice(tags.as_flattened());
        }
        let key_len = head.len() + key.len();
        let Some(key_len) = u16::try_from(key_len).ok().filter(|_| key_len <= MAX_KEY) else {
            return;
        };
        let start = bytes.len();
        bytes.extend_from_slice(&[MARK, kind]);
        bytes.extend_from_slice(&key_len.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[start..]), &head);
        let sum = crc32c::crc32c_append(sum, key.as_bytes());
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(key.as_bytes());
    }
}

enum Decoded<'a> {
    Record(Record<'a>, usize),
    Damaged,
    /// It may be sound, but does not end here.
    Short,
}

fn decode(bytes: &[u8]) -> Decoded<'_> {
    if bytes.first().is_some_and(|mark| *mark != MARK) {
        return Decoded::Damaged;
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Decoded::Short;
    };
    let [_, kind, l0, l1, id @ .., s0, s1, s2, s3] = *fixed;
    let (id, size) = match id.as_chunks::<8>().0 {
        [id, size] => (u64::from_le_bytes(*id), u64::from_le_bytes(*size)),
        _ => return Decoded::Damaged,
    };
    let key_len = usize::from(u16::from_le_bytes([l0, l1]));
    // Before the checksum, so that looking for a record in noise costs little.
    let possible = match kind {
        1 | 2 | 5 | 6 => key_len <= MAX_KEY,
        3 | 4 => key_len == 0 && size == 0,
        _ => false,
    };
    if !possible {
        return Decoded::Damaged;
    }
    let Some(key) = rest.get(..key_len) else {
        return Decoded::Short;
    };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&fixed[..FIXED - 4]), key);
    if sum != u32::from_le_bytes([s0, s1, s2, s3]) {
        return Decoded::Damaged;
    }
    let (tags, key) = match kind {
        5 | 6 => match split_tags(key) {
            Some(split) => split,
            None => return Decoded::Damaged,
        },
        _ => (&[][..], key),
    };
    let record = match (kind, std::str::from_utf8(key)) {
        (1 | 2 | 5 | 6, Ok(key)) => Record::Insert {
            id,
            size,
            main: kind == 2 || kind == 6,
            tags,
            key,
        },
        (3, _) => Record::Promote { id },
        (4, _) => Record::Remove { id },
        _ => return Decoded::Damaged,
    };
    Decoded::Record(record, FIXED + key_len)
}

fn split_tags(bytes: &[u8]) -> Option<(&[Tag], &[u8])> {
    let (count, rest) = bytes.split_first()?;
    let (tags, key) = rest.split_at_checked(usize::from(*count) * size_of::<Tag>())?;
    Some((tags.as_chunks().0, key))
}

/// Gives every sound record of `source` to `each`, in order. It fails only if `source` does; what came
/// before that has been given.
pub fn read_all(
    mut source: impl Read,
    summary: &mut Summary,
    mut each: impl FnMut(Record<'_>),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let (mut start, mut end, mut ended) = (0, 0, false);
    loop {
        match decode(&buffer[start..end]) {
            Decoded::Record(record, len) => {
                each(record);
                summary.records += 1;
                start += len;
            }
            Decoded::Short if !ended => {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                match source.read(&mut buffer[end..]) {
                    Ok(0) => ended = true,
                    Ok(count) => end += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Decoded::Short if start == end => return Ok(()),
            Decoded::Short | Decoded::Damaged => {
                let rest = buffer.get(start + 1..end).unwrap_or_default();
                let next = 1 + rest
                    .iter()
                    .position(|byte| *byte == MARK)
                    .unwrap_or(rest.len());
                start += next;
                summary.skipped += next as u64;
                if summary.skipped > MOST_SKIPPED {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u8, u64, u64, Vec<Tag>, String);

    fn owned(record: Record<'_>) -> Owned {
        match record {
            Record::Insert {
                id,
                size,
                main,
                tags,
                key,
            } => (1 + u8::from(main), id, size, tags.to_vec(), key.to_owned()),
            Record::Promote { id } => (3, id, 0, Vec::new(), String::new()),
            Record::Remove { id } => (4, id, 0, Vec::new(), String::new()),
        }
    }

    fn encode(records: &[Owned]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, id, size, tags, key) in records {
            let record = match kind {
                1 | 2 => Record::Insert {
                    id: *id,
                    size: *size,
                    main: *kind == 2,
                    tags,
                    key,
                },
                3 => Record::Promote { id: *id },
                _ => Record::Remove { id: *id },
            };
            record.encode(&mut bytes);
        }
        bytes
    }

    fn decode_all(bytes: &[u8]) -> (Vec<Owned>, Summary) {
        let (mut records, mut summary) = (Vec::new(), Summary::default());
        read_all(bytes, &mut summary, |record| records.push(owned(record))).expect("no I/O");
        (records, summary)
    }

    fn record() -> impl Strategy<Value = Owned> {
        let tags = proptest::collection::vec(any::<Tag>(), 0..4);
        let key = "/[a-z\u{1}á]{0,40}";
        (1u8..=4, any::<u64>(), any::<u64>(), tags, key).prop_map(|record| match record.0 {
            3 | 4 => (record.0, record.1, 0, Vec::new(), String::new()),
            _ => record,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn records_read_back_as_they_were_written(records in proptest::collection::vec(record(), 0..20)) {
            let (read, summary) = decode_all(&encode(&records));
            prop_assert_eq!(&read, &records);
            prop_assert_eq!(summary, Summary { records: records.len() as u64, skipped: 0 });
        }

        #[test]
        fn a_truncated_journal_gives_all_whole_records(records in proptest::collection::vec(record(), 1..20), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&records);
            let cut = cut.index(bytes.len());
            let whole = (0..=records.len()).rev().find(|n| encode(&records[..*n]).len() <= cut).unwrap_or(0);
            prop_assert_eq!(decode_all(&bytes[..cut]).0, &records[..whole]);
        }

        #[test]
        fn a_flipped_bit_costs_its_own_record_only(records in proptest::collection::vec(record(), 1..20), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&records);
            let at = at.index(bytes.len());
            let hit = (0..records.len()).find(|n| encode(&records[..=*n]).len() > at).expect("within");
            bytes[at] ^= 1 << bit;
            let mut rest = records;
            rest.remove(hit);
            prop_assert_eq!(decode_all(&bytes).0, rest);
        }

        #[test]
        fn arbitrary_bytes_end(bytes in proptest::collection::vec(prop_oneof![Just(MARK), 0u8..8, any::<u8>()], 0..500)) {
            let (_, summary) = decode_all(&bytes);
            prop_assert!(summary.skipped <= bytes.len() as u64);
        }
    }

    #[test]
    fn a_key_too_long_or_with_too_many_tags_is_left_out() {
        let key = "k".repeat(70_000);
        let mut bytes = Vec::new();
        Record::Insert {
            id: 1,
            size: 1,
            main: false,
            tags: &[],
            key: &key,
        }
        .encode(&mut bytes);
        Record::Insert {
            id: 1,
            size: 1,
            main: false,
            tags: &[[7; 8]; 300],
            key: "/a",
        }
        .encode(&mut bytes);
        assert!(bytes.is_empty());
    }

    #[test]
    fn endless_noise_is_given_up() {
        let (records, summary) = decode_all(&vec![MARK; 3 << 20]);
        assert!(records.is_empty() && summary.skipped <= MOST_SKIPPED + 1);
    }
}
