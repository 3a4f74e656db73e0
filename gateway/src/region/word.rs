//! What a gateway tells the others about health: what works in its own region, and how it sees theirs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::quorum::Sees;
use super::{Capabilities, Health, Status};

/// The part of a mesh record that is about health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthWord {
    /// What works in the speaker's region; `None` from gateways that do not say.
    pub capabilities: Option<Capabilities>,
    /// How it sees the other regions, by name.
    pub sights: BTreeMap<String, Sight>,
}

/// How one region sees another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sight {
    /// What it sees.
    pub sees: Sees,
    /// Milliseconds since it looked.
    pub age_ms: u64,
    /// Milliseconds since it began to see this.
    pub since_ms: u64,
    /// Round trip in milliseconds, where there was an answer.
    pub rtt_ms: Option<f32>,
}

impl Sight {
    /// Our own: what checks saw, unless the region's responses speak against it.
    pub fn of(health: &Health, is_ejected: bool, now: Instant) -> Self {
        let millis = |at: Option<Instant>| {
            let elapsed = at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            sees: match health.status {
                Status::Unknown => Sees::Unknown,
                Status::Down => Sees::Fails,
                Status::Up if is_ejected => Sees::Fails,
                Status::Up => Sees::Answers,
                Status::Draining => Sees::Draining,
            },
            age_ms: millis(health.checked_at),
            since_ms: millis(health.since),
            rtt_ms: health.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0),
        }
    }

    /// How long ago the speaker looked, when its word is `heard` old.
    pub fn age(&self, heard: Duration) -> Duration {
        heard.saturating_add(Duration::from_millis(self.age_ms))
    }
}
