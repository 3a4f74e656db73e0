//! How busy this gateway is, smoothed, and as it says so to the others. Not what follows from it: that is
//! `steering::spill`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time over which a change of load is taken in: longer than a burst, shorter than a DNS answer lives.
const SMOOTHING: Duration = Duration::from_secs(2);

/// One gateway's word about its load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Requests that it takes at once; 0 where it does not say.
    pub capacity: u32,
    /// Requests that it serves, those left out that it carries to other regions.
    pub served: f32,
    /// Of those, how many belong to the users of which region.
    pub served_for: BTreeMap<String, f32>,
    /// Requests admitted in a second.
    pub requests_per_second: f32,
}

impl Load {
    /// The part of its capacity that is in use, 0 to 1 and above.
    pub fn utilisation(&self) -> f32 {
        if self.capacity == 0 {
            0.0
        } else {
            sane(self.served) / self.capacity as f32
        }
    }

    /// What it serves, as a number that arithmetic can bear.
    pub fn served(&self) -> f32 {
        sane(self.served)
    }

    /// What it serves for the users of a region.
    pub fn served_for(&self, region: &str) -> f32 {
        self.served_for.get(region).copied().map_or(0.0, sane)
    }

    /// The load after `elapsed`, in which `sample` was seen.
    #[must_use]
    pub fn after(&self, sample: &Self, elapsed: Duration) -> Self {
        let weight = 1.0 - (-elapsed.as_secs_f32() / SMOOTHING.as_secs_f32()).exp();
        let toward = |before: f32, now: f32| {
            let next = before + (now - before) * weight;
            // What fades away is gone at some time.
            if next < 0.005 { now.min(next) } else { next }
        };
        Self {
            capacity: sample.capacity,
            served: toward(self.served, sample.served),
            served_for: sample
                .served_for
                .iter()
                .map(|(region, now)| (region.clone(), toward(self.served_for(region), *now)))
                .collect(),
            requests_per_second: toward(self.requests_per_second, sample.requests_per_second),
        }
    }
}

/// A number that arithmetic can bear, whatever a peer has sent.
fn sane(number: f32) -> f32 {
    if number.is_finite() {
        number.clamp(0.0, 1e9)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Load;

    #[test]
    fn a_load_follows_what_is_seen_within_seconds() {
        let busy = Load {
            capacity: 100,
            served: 80.0,
            served_for: [("ams3".to_owned(), 50.0)].into(),
            requests_per_second: 10.0,
        };
        let mut load = Load::default();
        for _ in 0..8 {
            load = load.after(&busy, Duration::from_millis(250));
        }
        assert!((0.5..0.52).contains(&load.utilisation()), "{load:?}");
        assert!((31.0..33.0).contains(&load.served_for("ams3")), "{load:?}");
        for _ in 0..80 {
            load = load.after(&busy, Duration::from_millis(250));
        }
        assert!((load.utilisation() - 0.8).abs() < 0.001, "{load:?}");
    }

    #[test]
    fn numbers_that_make_no_sense_count_as_none() {
        for served in ["-1", "1e60", "-1e60"] {
            let load: Load =
                serde_json::from_str(&format!(r#"{{"capacity": 10, "served": {served}}}"#))
                    .unwrap_or_default();
            assert!(
                load.utilisation().is_finite() && load.utilisation() >= 0.0,
                "{load:?}"
            );
        }
        assert!(Load::default().utilisation() < f32::EPSILON);
    }
}
