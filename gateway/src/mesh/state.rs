//! The last word of every region, with the time at which it was heard here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::record::{Instance, Record};
use crate::region::{MAX_REGIONS, RegionIndex};

/// A record and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What was said.
    pub record: Record,
    /// When it was heard, by our clock.
    pub at: Instant,
}

impl Heard {
    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// What has been heard of every region. One a process.
#[derive(Debug)]
pub struct State {
    /// Who we are among the gateways of our region.
    pub instance: Instance,
    heard: [ArcSwapOption<Heard>; MAX_REGIONS],
}

impl State {
    /// Nothing was heard yet.
    pub fn new(instance: Instance) -> Self {
        Self {
            instance,
            heard: Default::default(),
        }
    }

    /// Takes in a region's word. An older one of the same gateway, which came by a slower way, is
    /// refused.
    pub fn hear(&self, from: RegionIndex, record: Record, now: Instant) -> bool {
        let slot = &self.heard[from.get()];
        let is_old = slot.load().as_ref().is_some_and(|before| {
            before.record.instance == record.instance && before.record.version > record.version
        });
        if !is_old {
            slot.store(Some(Arc::new(Heard { record, at: now })));
        }
        !is_old
    }

    /// The last word of a region.
    pub fn heard(&self, from: RegionIndex) -> Option<Arc<Heard>> {
        self.heard[from.get()].load_full()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::State;
    use crate::mesh::{Instance, Record, Version};
    use crate::region::RegionIndex;

    #[test]
    fn an_older_word_of_the_same_gateway_is_refused_and_a_restarted_one_is_heard() {
        let state = State::new(Instance::started_now());
        let now = Instant::now();
        let say = |instance, started, count| {
            let version = Version { started, count };
            let record = Record {
                instance,
                version,
                ..Record::default()
            };
            state.hear(RegionIndex(1), record, now)
        };
        assert!(say(7, 100, 5));
        assert!(!say(7, 100, 4));
        assert!(say(7, 100, 6));
        assert!(say(8, 90, 1));
        assert!(state.heard(RegionIndex(0)).is_none());
        let heard = state.heard(RegionIndex(1)).unwrap();
        assert_eq!(heard.record.instance, 8);
        let later = now + Duration::from_secs(3);
        assert_eq!(heard.age(later), Duration::from_secs(3));
    }
}
