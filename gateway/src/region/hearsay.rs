//! What the other regions say of us: the share of our users that we should get. The lowest of what was
//! said lately counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{MAX_REGIONS, RegionIndex};

/// How long a word counts.
const FRESH: Duration = Duration::from_secs(5);

/// One word from each region: seconds since `epoch` in thousandths, and the share.
#[derive(Debug)]
pub struct Hearsay {
    epoch: Instant,
    words: [AtomicU64; MAX_REGIONS],
}

impl Hearsay {
    /// Nothing was said yet.
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            words: Default::default(),
        }
    }

    /// Takes in what a region said, or that it said nothing.
    pub fn hear(&self, from: RegionIndex, share: Option<f32>, now: Instant) {
        let at = u64::from(self.millis(now)) << 32;
        let word = share.map_or(0, |share| at | u64::from(share.clamp(0.0, 1.0).to_bits()));
        self.words[from.get()].store(word, Ordering::Relaxed);
    }

    /// The share of our users that we should take now.
    pub fn share(&self, now: Instant) -> f32 {
        let now = self.millis(now);
        let fresh = u32::try_from(FRESH.as_millis()).unwrap_or(u32::MAX);
        let words = self
            .words
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .filter(|word| *word != 0);
        words
            .filter(|word| now.saturating_sub((word >> 32) as u32) <= fresh)
            .map(|word| f32::from_bits(word as u32))
            .fold(1.0, f32::min)
    }

    /// Milliseconds since the start, counted from 1 so that no word is all zeroes.
    fn millis(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.epoch).as_millis();
        u32::try_from(elapsed).unwrap_or(u32::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Hearsay;
    use crate::region::RegionIndex;

    #[test]
    fn the_lowest_fresh_word_counts() {
        let start = Instant::now();
        let hearsay = Hearsay::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((hearsay.share(at(0)) - 1.0).abs() < f32::EPSILON);
        hearsay.hear(RegionIndex(0), Some(0.4), at(0));
        hearsay.hear(RegionIndex(1), Some(0.0), at(3));
        assert!(hearsay.share(at(4)) < f32::EPSILON);
        hearsay.hear(RegionIndex(1), None, at(4));
        assert!((hearsay.share(at(4)) - 0.4).abs() < f32::EPSILON);
        assert!((hearsay.share(at(6)) - 1.0).abs() < f32::EPSILON);
    }
}
