//! The work of a job: π from the share of random darts that land inside a quarter circle.

use fastrand::Rng;

/// Darts thrown in a step: about a millisecond of work in a release build.
const DARTS: u64 = 250_000;

/// An estimate of π that improves with every step.
#[derive(Debug)]
pub(super) struct PiEstimate {
    rng: Rng,
    thrown: u64,
    inside: u64,
}

impl PiEstimate {
    /// The same seed gives the same estimates.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            thrown: 0,
            inside: 0,
        }
    }

    /// Throws some more darts.
    pub(super) fn step(&mut self) {
        let rng = &mut self.rng;
        self.inside += (0..DARTS)
            .map(|_| u64::from(rng.f64().hypot(rng.f64()) <= 1.0))
            .sum::<u64>();
        self.thrown += DARTS;
    }

    /// The estimate so far; 0 before the first step.
    pub(super) fn value(&self) -> f64 {
        4.0 * self.inside as f64 / self.thrown.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_steps_come_close_to_pi() {
        let mut estimate = PiEstimate::new(1);
        for _ in 0..4 {
            estimate.step();
        }
        assert!(
            (estimate.value() - std::f64::consts::PI).abs() < 0.01,
            "{}",
            estimate.value()
        );
    }
}
