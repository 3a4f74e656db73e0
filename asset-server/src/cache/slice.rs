//! Large objects in slices: which slices a range touches, what they are called, and how far a reader
//! should be read ahead of. Pure.
//!
//! Under the key of the object stands its head, which has no bytes. Every slice has an entry of its own,
//! whose key names the version by its entity tag: slices of two versions can never meet, and those of an
//! old one are simply not asked for any more.

use std::ops::Range;

use http::HeaderValue;

use super::key::CacheKey;

/// Begins what is added to the key of a slice.
const SLICE: char = '\u{3}';

/// How objects are sliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slicing {
    /// Bytes of a slice; objects that are not larger are kept whole.
    pub size: u64,
    /// Slices that are fetched at once for one sequential reader.
    pub read_ahead: usize,
}

impl Slicing {
    /// The slice that has the byte at `offset`.
    pub fn index_of(&self, offset: u64) -> u64 {
        offset / self.size
    }

    /// The bytes of a slice of an object of `total` bytes.
    pub fn range_of(&self, index: u64, total: u64) -> Range<u64> {
        let start = index.saturating_mul(self.size).min(total);
        start..start.saturating_add(self.size).min(total)
    }
}

/// The key of one slice of one version.
pub fn key_of(object: &CacheKey, version: &HeaderValue, index: u64) -> CacheKey {
    let version = fingerprint(version.as_bytes());
    CacheKey::new(&format!(
        "{}{SLICE}{version:032x}.{index:x}",
        object.as_str()
    ))
}

/// Stands for a version in a key, since a tag may be long and hold anything: XXH3 with 128 bits, so that
/// two of them meet by accident about as often as two MD5 tags do.
pub fn fingerprint(version: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(version)
}

/// How many slices a reader wants to have under way: two at first, twice as many with every slice that
/// it has read to its end, so that who looks at one place does not fetch the neighbourhood.
#[derive(Clone, Copy, Debug)]
pub struct ReadAhead {
    window: usize,
    limit: usize,
}

impl ReadAhead {
    /// For a reader that has read nothing yet.
    pub fn new(limit: usize) -> Self {
        Self {
            window: limit.min(2),
            limit,
        }
    }

    /// The reader goes on to the next slice.
    pub fn advance(&mut self) {
        self.window = (self.window * 2).min(self.limit);
    }

    /// The slices to have under way besides `current`, for a reader that stops with slice `last`, when
    /// the origin has room for `spare` more requests.
    pub fn slices(&self, current: u64, last: u64, spare: usize) -> Range<u64> {
        let count = self.window.saturating_sub(1).min(spare) as u64;
        let next = current.saturating_add(1);
        next..next
            .saturating_add(count)
            .min(last.saturating_add(1))
            .max(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reader_is_read_ahead_of_further_the_longer_it_reads() {
        let mut ahead = ReadAhead::new(8);
        assert_eq!(ahead.slices(0, 100, 64), 1..2);
        ahead.advance();
        assert_eq!(ahead.slices(1, 100, 64), 2..5);
        ahead.advance();
        ahead.advance();
        assert_eq!(ahead.slices(3, 100, 64), 4..11);
        assert_eq!(ahead.slices(3, 100, 2), 4..6, "the origin has room for two");
        assert_eq!(ahead.slices(98, 100, 64), 99..101, "the reader stops there");
        assert_eq!(ahead.slices(100, 100, 64), 101..101);
        assert_eq!(ReadAhead::new(1).slices(0, 100, 64), 1..1);
    }

    #[test]
    fn versions_and_slices_have_keys_of_their_own() {
        let object = CacheKey::new("/assets/model");
        let (a, b) = (
            HeaderValue::from_static("\"a\""),
            HeaderValue::from_static("\"b\""),
        );
        let keys = [
            key_of(&object, &a, 0),
            key_of(&object, &a, 1),
            key_of(&object, &b, 0),
        ];
        assert!(keys[0] != keys[1] && keys[0] != keys[2]);
        assert!(keys.iter().all(|key| key.path() == "/assets/model"));
    }

    proptest! {
        #[test]
        fn the_slices_of_an_object_cover_it_once(total in 1u64..1 << 40, size in 1u64..1 << 30, offset in 0u64..1 << 40) {
            let slicing = Slicing { size, read_ahead: 4 };
            let offset = offset % total;
            let index = slicing.index_of(offset);
            let range = slicing.range_of(index, total);
            prop_assert!(range.contains(&offset));
            let next = slicing.range_of(index + 1, total);
            prop_assert!(next.start == range.end);
        }
    }
}
