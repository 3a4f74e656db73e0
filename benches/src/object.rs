//! Objects that are made up from their offsets, so that whoever reads one can tell each byte from any other.

use bytes::Bytes;

use crate::Sequence;

/// Not a power of two, so that a slice or a piece in the wrong place is noticed.
const PERIOD: usize = (1 << 20) + 7919;

/// The bytes of all such objects.
#[derive(Debug)]
pub struct Pattern {
    /// Two periods, so that a piece of one period can begin anywhere.
    bytes: Bytes,
}

impl Pattern {
    /// Makes the period.
    pub fn new() -> Self {
        let mut sequence = Sequence::new();
        let mut bytes: Vec<u8> = (0..PERIOD).map(|_| sequence.next() as u8).collect();
        bytes.extend_from_within(..);
        Self {
            bytes: bytes.into(),
        }
    }

    /// The bytes from `offset`: `count` of them, or one period if that is less. Nothing is copied.
    pub fn bytes(&self, offset: u64, count: usize) -> Bytes {
        let from = (offset % PERIOD as u64) as usize;
        self.bytes.slice(from..from + count.min(PERIOD))
    }

    /// Whether `bytes` are the object's from `offset` on.
    pub fn matches(&self, mut offset: u64, bytes: &[u8]) -> bool {
        bytes.chunks(PERIOD).all(|piece| {
            let is_equal = self.bytes(offset, piece.len()) == piece;
            offset += piece.len() as u64;
            is_equal
        })
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}
