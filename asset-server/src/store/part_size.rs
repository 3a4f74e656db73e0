//! Into how many parts of which size an upload is cut. Pure.
//!
//! S3 takes at most 10,000 parts, each but the last of at least 5 MiB. Parts are held in memory whole,
//! so they are as small as the object allows: 8 MiB up to 78 GiB, and never more than 64 MiB.

/// Up to here an object is written with one request.
pub const SINGLE: u64 = 8 << 20;

/// The smallest part that is cut, but for the last.
pub const SMALLEST: u64 = 8 << 20;

/// The largest part that is cut.
pub const LARGEST: u64 = 64 << 20;

/// As many as S3 takes.
pub const MOST_PARTS: u64 = 10_000;

/// The largest object that can be written: 625 GiB.
pub const LARGEST_OBJECT: u64 = LARGEST * MOST_PARTS;

/// Parts of one size, or that grow where the length is not known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// All but the last have this many bytes.
    Of(u64),
    /// 8 MiB at first, twice that after every 2,000 parts: enough for 359 GiB.
    Growing,
}

/// `None` if an object of this length cannot be written.
pub fn parts(length: Option<u64>) -> Option<Parts> {
    match length {
        None => Some(Parts::Growing),
        Some(length) if length > LARGEST_OBJECT => None,
        Some(length) => {
            // Whole MiB: disks and networks like them, and operators can read them.
            let needed = length.div_ceil(MOST_PARTS).next_multiple_of(1 << 20);
            Some(Parts::Of(needed.max(SMALLEST)))
        }
    }
}

impl Parts {
    /// Bytes of part `number`, counted from 1; `None` if there can be no such part.
    pub fn size(self, number: u32) -> Option<u64> {
        if number == 0 || u64::from(number) > MOST_PARTS {
            return None;
        }
        Some(match self {
            Self::Of(size) => size,
            Self::Growing => SMALLEST << ((number - 1) / 2000).min(3),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ten_thousand_parts_of_bounded_size_always_suffice(length in 0..=LARGEST_OBJECT) {
            let parts = parts(Some(length)).expect("it can be written");
            let size = parts.size(1).expect("a first part");
            prop_assert!((SMALLEST..=LARGEST).contains(&size));
            prop_assert!(length.div_ceil(size) <= MOST_PARTS);
        }
    }

    #[test]
    fn an_unknown_length_grows_and_ends() {
        let total: u64 = (1..).map_while(|n| Parts::Growing.size(n)).sum();
        assert_eq!(total >> 30, 359);
        assert_eq!(Parts::Growing.size(10_001), None);
        assert_eq!(parts(Some(LARGEST_OBJECT + 1)), None);
    }
}
