//! Traces of entries that left the small queue: 8 bytes each, in buckets of four.
//!
//! A trace is the entry's hash and when it left, counted in departures. It fades when as many have left
//! since as there are entries, so nothing is ever cleaned up. A full bucket loses its oldest trace, and
//! two hashes that agree make a stranger welcome once: both cost a wrong guess, never a wrong byte.

/// Traces of a bucket.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    hash: u32,
    /// Departure number; 0 is no trace.
    left: u32,
}

#[derive(Debug, Default)]
pub(super) struct Ghost {
    /// As many as a power of two.
    buckets: Vec<[Trace; WAYS]>,
    departures: u32,
}

impl Ghost {
    /// Remembers an entry that left. `room` is how many traces are worth keeping.
    pub(super) fn remember(&mut self, hash: u32, room: usize) {
        self.grow(room);
        self.departures = self.departures.checked_add(1).unwrap_or(1);
        let left = self.departures;
        self.put(Trace { hash, left });
    }

    /// Whether an entry left within the last `span` departures. Its trace is gone then.
    pub(super) fn take(&mut self, hash: u32, span: usize) -> bool {
        let now = self.departures;
        let Some(bucket) = self.bucket(hash) else {
            return false;
        };
        let found = bucket
            .iter_mut()
            .find(|trace| trace.left != 0 && trace.hash == hash);
        found.is_some_and(|trace| {
            let age = now.wrapping_sub(trace.left) as usize;
            *trace = Trace::default();
            age < span
        })
    }

    fn put(&mut self, trace: Trace) {
        let now = self.departures;
        let Some(bucket) = self.bucket(trace.hash) else {
            return;
        };
        let known = bucket
            .iter()
            .position(|old| old.left != 0 && old.hash == trace.hash);
        let place = known.or_else(|| {
            (0..WAYS).max_by_key(|at| match bucket[*at].left {
                0 => u32::MAX,
                left => now.wrapping_sub(left),
            })
        });
        if let Some(place) = place {
            bucket[place] = trace;
        }
    }

    fn bucket(&mut self, hash: u32) -> Option<&mut [Trace; WAYS]> {
        let mask = self.buckets.len().checked_sub(1)?;
        self.buckets.get_mut(hash as usize & mask)
    }

    /// Twice as many buckets as before, until there is room: one pass over 8 bytes per trace.
    fn grow(&mut self, room: usize) {
        let wanted = room.div_ceil(WAYS).next_power_of_two();
        if wanted > self.buckets.len() {
            let old = std::mem::replace(&mut self.buckets, vec![Default::default(); wanted]);
            for trace in old.into_iter().flatten().filter(|trace| trace.left != 0) {
                self.put(trace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_found_once_and_fades() {
        let mut ghost = Ghost::default();
        assert!(!ghost.take(1, 10), "an empty ghost knows nobody");
        ghost.remember(1, 10);
        assert!(ghost.take(1, 10));
        assert!(!ghost.take(1, 10), "it was taken");
        ghost.remember(1, 10);
        (100..110).for_each(|hash| ghost.remember(hash, 10));
        assert!(!ghost.take(1, 10), "ten have left since");
    }

    #[test]
    fn growing_keeps_the_traces() {
        let mut ghost = Ghost::default();
        for hash in 0..1000 {
            ghost.remember(hash, hash as usize + 1);
        }
        let known = (0..1000).filter(|hash| ghost.take(*hash, 1000)).count();
        assert!(known > 900, "{known}");
    }
}
