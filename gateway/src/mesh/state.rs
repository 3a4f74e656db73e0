//! The last word of every gateway of every region, with the time at which it was heard here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::record::{Instance, Record};
use crate::region::{MAX_REGIONS, RegionIndex};

/// Most gateways of one region that are remembered; the one that has been silent longest goes first.
pub const MAX_INSTANCES: usize = 16;
/// A gateway that is silent for this long is forgotten while others of its region speak.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// A region's own word counts before hearsay for this long.
const FRESH: Duration = Duration::from_secs(3);

/// A record and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What was said.
    pub record: Record,
    /// When it was heard, by our clock; if through another region, when that one heard it.
    pub at: Instant,
    /// The region that passed it on; `None` for the speaker's own word.
    pub via: Option<RegionIndex>,
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
    heard: [ArcSwap<Vec<Arc<Heard>>>; MAX_REGIONS],
}

impl State {
    /// Nothing was heard yet.
    pub fn new(instance: Instance) -> Self {
        Self {
            instance,
            heard: std::array::from_fn(|_| ArcSwap::default()),
        }
    }

    /// Takes in a gateway's own word. An older one of the same gateway, which came by a slower way, is
    /// refused.
    pub fn hear(&self, from: RegionIndex, record: Record, now: Instant) -> bool {
        self.hear_aged(from, record, Duration::ZERO, now)
    }

    /// Takes in what a region has said of another of its own gateways, or of itself, `age` ago.
    pub(super) fn hear_aged(
        &self,
        from: RegionIndex,
        record: Record,
        age: Duration,
        now: Instant,
    ) -> bool {
        let Some(at) = now.checked_sub(age).filter(|_| age <= FORGOTTEN) else {
            return false;
        };
        let via = None;
        self.take(from, Heard { record, at, via }, now)
    }

    /// Takes in what region `via` has heard of region `about`, `age` ago. A fresh word of its own is
    /// never displaced, nor a newer one of the same gateway.
    pub fn hear_of(
        &self,
        about: RegionIndex,
        via: RegionIndex,
        record: Record,
        age: Duration,
        now: Instant,
    ) -> bool {
        let own_word = |word: &Arc<Heard>| word.via.is_none() && word.age(now) <= FRESH;
        let Some(at) = now.checked_sub(age) else {
            return false;
        };
        if age > FORGOTTEN || self.instances(about).iter().any(own_word) {
            return false;
        }
        let via = Some(via);
        self.take(about, Heard { record, at, via }, now)
    }

    fn take(&self, from: RegionIndex, word: Heard, now: Instant) -> bool {
        let word = Arc::new(word);
        let is_same = |other: &Heard| other.record.instance == word.record.instance;
        // The same word once more, passed on, does not make it younger.
        let is_old =
            |before: &Heard| is_same(before) && before.record.version >= word.record.version;
        let mut taken = true;
        self.heard[from.get()].rcu(|words| {
            taken = !words.iter().any(|before| is_old(before));
            let mut next: Vec<Arc<Heard>> = words.to_vec();
            if taken {
                next.retain(|other| !is_same(other) && other.age(now) <= FORGOTTEN);
                next.push(word.clone());
                next.sort_by_key(|word| std::cmp::Reverse(word.at));
                next.truncate(MAX_INSTANCES);
            }
            next
        });
        taken
    }

    /// The word that stands for a region: of those of its gateways that speak now, the latest of one
    /// that takes work, if one does.
    pub fn heard(&self, from: RegionIndex) -> Option<Arc<Heard>> {
        let words = self.heard[from.get()].load();
        let latest = words.first()?;
        // A gateway that was restarted must not stand for the one that has followed it.
        let speaking = words
            .iter()
            .take_while(|word| latest.at.saturating_duration_since(word.at) <= FRESH);
        let working = speaking.clone().find(|word| !word.record.draining);
        Some(working.unwrap_or(latest).clone())
    }

    /// The last word of each gateway of a region, latest first. For our own region: our siblings.
    pub fn instances(&self, of: RegionIndex) -> Arc<Vec<Arc<Heard>>> {
        self.heard[of.get()].load_full()
    }

    /// Whether a region has not spoken for itself lately, so that others should say what they know.
    pub fn misses(&self, region: RegionIndex, now: Instant) -> bool {
        let own_word = |word: &Arc<Heard>| word.via.is_none() && word.age(now) <= FRESH;
        !self.instances(region).iter().any(own_word)
    }
}

#[cfg(test)]
mod tests;
