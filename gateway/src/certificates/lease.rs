//! Who may order a certificate now. Pure.
//!
//! A note in the store says that somebody orders, or that an attempt failed and how long all shall wait.
//! No clock is compared with another: a note holds for its `rest` from the moment at which *a reader first
//! saw it unchanged*, by the reader's own monotonic clock; the holder counts from before it wrote, and
//! stops earlier than others begin. Each write is different, so a note that stays the same is a dead one.
//!
//! The lease saves orders, it does not guard truth: a store without conditional writes may let two regions
//! order at once, and two valid certificates do no harm. The one that lives longer wins.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What stands in the store beside a certificate's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Who orders: region and process. `None` after a failure: then nobody does.
    pub holder: Option<String>,
    /// Random in each write, so that two writes are never alike.
    pub nonce: u64,
    /// How long the note holds from when it is first seen, in milliseconds.
    pub rest_ms: u64,
    /// Attempts that failed since the last certificate.
    pub failures: u32,
    /// Why the last of them failed, for logs.
    #[serde(default)]
    pub reason: String,
}

/// Longest time that a note may hold, whatever it says. Rate limits of authorities are weeks at most, but a
/// note that was written by mistake must not stop renewal for that long.
pub const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

impl Note {
    /// A note of `holder`, which goes on from `before`.
    pub fn held(holder: &str, rest: Duration, before: Option<&Self>) -> Self {
        Self {
            holder: Some(holder.to_owned()),
            nonce: fastrand::u64(..),
            rest_ms: millis(rest),
            failures: before.map_or(0, |note| note.failures),
            reason: before.map_or_else(String::new, |note| note.reason.clone()),
        }
    }

    /// A note that one more attempt failed, and nobody shall try for `rest`.
    pub fn failed(before: &Self, rest: Duration, reason: String) -> Self {
        Self {
            holder: None,
            nonce: fastrand::u64(..),
            rest_ms: millis(rest),
            failures: before.failures.saturating_add(1),
            reason,
        }
    }

    /// How long it holds.
    pub fn rest(&self) -> Duration {
        Duration::from_millis(self.rest_ms).min(LONGEST_REST)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What one reader has seen of a note.
#[derive(Debug, Default)]
pub struct Sight {
    seen: Option<(Note, Instant)>,
}

/// Whether the lease may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nobody has it.
    Free,
    /// Somebody has it, or all wait after a failure; look again after this time.
    Wait(Duration),
}

impl Sight {
    /// Takes in what is in the store now and says whose turn it is.
    pub fn turn(&mut self, found: Option<&Note>, now: Instant) -> Turn {
        let Some(note) = found else {
            self.seen = None;
            return Turn::Free;
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == note => *since,
            _ => {
                self.seen = Some((note.clone(), now));
                now
            }
        };
        // A quarter on top of what the holder counts with: clocks run at different speeds, and reads lag.
        let end = since + note.rest() + note.rest() / 4;
        match end.saturating_duration_since(now) {
            Duration::ZERO => Turn::Free,
            left => Turn::Wait(left),
        }
    }
}

/// The holder's own view: whether what it wrote at `written` still protects it.
pub fn is_held(written: Instant, rest: Duration, now: Instant) -> bool {
    now.saturating_duration_since(written) < rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: Duration = Duration::from_secs(60);

    #[test]
    fn a_note_that_changes_is_alive_and_one_that_stays_is_dead_after_its_rest() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        assert_eq!(sight.turn(None, start), Turn::Free);
        let mut note = Note::held("ams3/1", REST, None);
        for step in 0..10 {
            let now = start + step * REST;
            assert!(
                matches!(sight.turn(Some(&note), now), Turn::Wait(_)),
                "{step}"
            );
            note = Note::held("ams3/1", REST, Some(&note));
        }
        let now = start + 10 * REST;
        assert_eq!(sight.turn(Some(&note), now), Turn::Wait(REST * 5 / 4));
        assert_eq!(sight.turn(Some(&note), now + REST * 5 / 4), Turn::Free);
    }

    #[test]
    fn a_failure_makes_all_wait_and_is_counted_on() {
        let held = Note::held("ams3/1", REST, None);
        let failed = Note::failed(&held, 2 * REST, "no".into());
        let again = Note::failed(
            &Note::held("nyc3/2", REST, Some(&failed)),
            REST,
            "no".into(),
        );
        assert_eq!((failed.failures, again.failures), (1, 2));
        let (mut sight, now) = (Sight::default(), Instant::now());
        assert_eq!(sight.turn(Some(&failed), now), Turn::Wait(2 * REST * 5 / 4));
    }

    proptest! {
        #[test]
        fn a_holder_stops_before_any_reader_takes_its_lease(
            rest_ms in 1_u64..600_000, seen_after_ms in 0_u64..600_000, asked_ms in 0_u64..2_000_000,
        ) {
            let written = Instant::now();
            let note = Note::held("a", Duration::from_millis(rest_ms), None);
            let mut sight = Sight::default();
            sight.turn(Some(&note), written + Duration::from_millis(seen_after_ms));
            let now = written + Duration::from_millis(seen_after_ms + asked_ms);
            if sight.turn(Some(&note), now) == Turn::Free {
                prop_assert!(!is_held(written, note.rest(), now));
            }
        }

        #[test]
        fn no_note_holds_longer_than_a_day(rest_ms: u64) {
            let note = Note { rest_ms, ..Note::held("a", REST, None) };
            let (mut sight, now) = (Sight::default(), Instant::now());
            let Turn::Wait(left) = sight.turn(Some(&note), now) else { return Ok(()) };
            prop_assert!(left <= LONGEST_REST * 5 / 4);
        }
    }
}
