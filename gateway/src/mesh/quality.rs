//! How good a link is, as a value: smoothed round trip, failures in a row, and a question that is still
//! open. Pure; the questions themselves are asked by `exchange`.

use std::time::{Duration, Instant};

use super::path::Reach;

/// Failures in a row after which a link leads nowhere.
const DOWN_AFTER: u32 = 2;
/// A question that is open for longer than this and four round trips makes the link look as slow as the
/// question is old.
const PATIENCE: Duration = Duration::from_millis(250);

/// What exchanges over one link have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// RFC 6298 section 2: one eighth of each new sample.
    smoothed: Option<Duration>,
    failures: u32,
    asked_at: Option<Instant>,
}

impl Quality {
    /// A question goes out.
    #[must_use]
    pub fn asked(self, now: Instant) -> Self {
        Self {
            asked_at: Some(now),
            ..self
        }
    }

    /// It was answered in `rtt`.
    #[must_use]
    pub fn answered(self, rtt: Duration) -> Self {
        let smoothed = match self.smoothed {
            // After an outage the way may be another one.
            Some(before) if self.failures < DOWN_AFTER => (before * 7 + rtt) / 8,
            _ => rtt,
        };
        Self {
            smoothed: Some(smoothed),
            failures: 0,
            asked_at: None,
        }
    }

    /// It was not.
    #[must_use]
    pub fn failed(self) -> Self {
        Self {
            failures: self.failures.saturating_add(1),
            asked_at: None,
            ..self
        }
    }

    /// Nobody listens there. One such sign is enough.
    #[must_use]
    pub fn unreachable(self) -> Self {
        Self {
            failures: self.failures.max(DOWN_AFTER),
            asked_at: None,
            ..self
        }
    }

    /// How long to wait for an answer before other ways are looked at.
    pub fn patience(&self) -> Duration {
        PATIENCE + self.smoothed.unwrap_or_default() * 4
    }

    /// What can be expected of the link now.
    pub fn reach(&self, now: Instant) -> Reach {
        if self.failures >= DOWN_AFTER {
            return Reach::Down;
        }
        let open = self
            .asked_at
            .map(|at| now.saturating_duration_since(at))
            .filter(|open| *open >= self.patience());
        match (self.smoothed, open) {
            (Some(smoothed), open) => Reach::Up(smoothed.max(open.unwrap_or_default())),
            (None, Some(open)) => Reach::Up(open),
            (None, None) => Reach::Unknown,
        }
    }

    /// The smoothed round trip while the link answers.
    pub fn rtt(&self) -> Option<Duration> {
        self.smoothed.filter(|_| self.failures == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Quality;
    use crate::mesh::path::Reach;

    #[test]
    fn a_link_is_smooth_and_two_failures_or_a_refusal_end_it() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let new = Quality::default();
        assert_eq!(new.reach(now), Reach::Unknown);
        let up = new.answered(ms(80));
        assert_eq!(up.answered(ms(160)).reach(now), Reach::Up(ms(90)));
        assert_eq!(up.failed().reach(now), Reach::Up(ms(80)));
        assert_eq!(up.failed().rtt(), None);
        assert_eq!(up.failed().failed().reach(now), Reach::Down);
        assert_eq!(up.unreachable().reach(now), Reach::Down);
        let again = up.unreachable().answered(ms(200));
        assert_eq!(again.reach(now), Reach::Up(ms(200)));
    }

    #[test]
    fn a_question_that_stays_open_makes_a_link_as_slow_as_it_is_old() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let asked = Quality::default().answered(ms(50)).asked(now);
        assert_eq!(asked.reach(now + ms(449)), Reach::Up(ms(50)));
        assert_eq!(asked.reach(now + ms(450)), Reach::Up(ms(450)));
        assert_eq!(asked.answered(ms(450)).reach(now), Reach::Up(ms(100)));
    }
}
