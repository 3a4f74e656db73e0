//! How many requests a store is given at once: a limit that learns.
//!
//! Two signals move it. A refusal or timeout halves what was in flight, once for each round of
//! requests, as TCP does with its window (RFC 5681 section 3.1). Slow first bytes shrink it in
//! proportion, quick ones grow it by a few, as in Netflix's Gradient2 limit
//! (<https://github.com/Netflix/concurrency-limits>, which builds on TCP Vegas). Pure: what was seen and when goes in,
//! a number comes out; [`slots`](super::slots) makes requests obey it. Why this and not another:
//! docs/decisions/0008.

use std::time::Duration;

use tokio::time::Instant;

/// Samples that a judgement needs: first bytes of one store differ, a mean of ten much less.
const SAMPLES: u32 = 10;
/// And the time that it needs, so that a quick store is not judged a thousand times a second.
const WINDOW: Duration = Duration::from_millis(100);
/// How much slower than usual is still no sign of a queue. Objects differ in how fast they start.
const TOLERANCE: f64 = 2.0;
/// Requests that may queue at the store: what the limit grows by, before smoothing.
const QUEUE: f64 = 4.0;
/// Weight of a new judgement beside the old limit.
const SMOOTHING: f64 = 0.2;
/// Weight of a window in what is usual: about 60 windows are remembered.
const MEMORY: f64 = 1.0 / 60.0;

/// The limit on requests in flight to one store.
#[derive(Debug)]
pub(super) struct Limit {
    floor: f64,
    ceiling: f64,
    current: f64,
    /// Mean first byte over many windows, in seconds.
    usual: Option<f64>,
    window: Window,
    /// The last cut. What was sent before it is part of the same congestion.
    cut: Option<Instant>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    samples: u32,
    seconds: f64,
    busiest: usize,
}

impl Limit {
    /// It starts at the ceiling: that is what the operator allowed, and one cut corrects it.
    pub(super) fn new(floor: usize, ceiling: usize) -> Self {
        let ceiling = ceiling.max(1) as f64;
        Self {
            floor: (floor.max(1) as f64).min(ceiling),
            ceiling,
            current: ceiling,
            usual: None,
            window: Window::default(),
            cut: None,
        }
    }

    /// Requests that may be in flight now.
    pub(super) fn current(&self) -> usize {
        self.current as usize
    }

    /// The head of an answer came `after` it was asked for, while `in_flight` requests were under way.
    pub(super) fn answered(&mut self, after: Duration, in_flight: usize, now: Instant) {
        let since = *self.window.since.get_or_insert(now);
        self.window.samples += 1;
        self.window.seconds += after.as_secs_f64();
        self.window.busiest = self.window.busiest.max(in_flight);
        if self.window.samples < SAMPLES || now.saturating_duration_since(since) < WINDOW {
            return;
        }
        let window = std::mem::take(&mut self.window);
        self.judge(
            window.seconds / f64::from(window.samples),
            window.busiest as f64,
        );
    }

    /// The store refused a request (503 `SlowDown`, 429), or let it wait too long. It was `sent` while
    /// `in_flight` requests were under way.
    pub(super) fn overloaded(&mut self, sent: Instant, in_flight: usize, now: Instant) {
        if self.cut.is_some_and(|cut| sent < cut) {
            return;
        }
        self.cut = Some(now);
        self.window = Window::default();
        let flight = self.current.min(in_flight as f64);
        self.current = (flight / 2.0).clamp(self.floor, self.ceiling);
    }

    fn judge(&mut self, recent: f64, busiest: f64) {
        let usual = *self.usual.get_or_insert(recent);
        // After a slow spell, what is usual must come down sooner than it went up.
        let weight = if usual > TOLERANCE * recent {
            4.0 * MEMORY
        } else {
            MEMORY
        };
        self.usual = Some(usual + (recent - usual) * weight);
        // A limit that nobody fills causes nothing, and proves nothing.
        if busiest * 2.0 < self.current {
            return;
        }
        let gradient = (TOLERANCE * usual / recent.max(1e-6)).clamp(0.5, 1.0);
        let target = self.current * gradient + QUEUE;
        self.current =
            (self.current * (1.0 - SMOOTHING) + target * SMOOTHING).clamp(self.floor, self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    /// `windows` windows in which all requests take `after`, with the limit filled.
    fn run(limit: &mut Limit, now: &mut Instant, windows: usize, after: Duration) {
        for _ in 0..windows * 11 {
            *now += Duration::from_millis(10);
            limit.answered(after, limit.current(), *now);
        }
    }

    #[test]
    fn a_round_of_refusals_halves_once() {
        let (mut limit, start) = (Limit::new(4, 128), Instant::now());
        let now = start + QUICK;
        for _ in 0..100 {
            limit.overloaded(start, 100, now);
        }
        assert_eq!(limit.current(), 50);
        // The next round was sent after the cut, so it says something new.
        limit.overloaded(now + QUICK, 50, now + 2 * QUICK);
        assert_eq!(limit.current(), 25);
    }

    #[test]
    fn it_never_falls_below_the_floor_and_grows_back_to_the_ceiling() {
        let (mut limit, mut now) = (Limit::new(4, 64), Instant::now());
        for _ in 0..20 {
            now += QUICK;
            limit.overloaded(now, limit.current(), now);
        }
        assert_eq!(limit.current(), 4);
        run(&mut limit, &mut now, 40, QUICK);
        assert!(
            (30..64).contains(&limit.current()),
            "growth is not a leap: {}",
            limit.current()
        );
        run(&mut limit, &mut now, 60, QUICK);
        assert_eq!(limit.current(), 64);
    }

    #[test]
    fn slow_first_bytes_shrink_it_and_slightly_slow_ones_do_not() {
        let (mut limit, mut now) = (Limit::new(4, 64), Instant::now());
        run(&mut limit, &mut now, 20, QUICK);
        run(&mut limit, &mut now, 5, QUICK * 3 / 2);
        assert_eq!(limit.current(), 64);
        run(&mut limit, &mut now, 10, QUICK * 10);
        assert!(limit.current() < 48, "{}", limit.current());
    }

    #[test]
    fn a_limit_that_nobody_fills_stays() {
        let (mut limit, mut now) = (Limit::new(4, 64), Instant::now());
        run(&mut limit, &mut now, 5, QUICK);
        for _ in 0..200 {
            now += Duration::from_millis(10);
            limit.answered(QUICK * 10, 3, now);
        }
        assert_eq!(limit.current(), 64);
    }

    proptest! {
        #[test]
        fn it_stays_between_floor_and_ceiling(
            floor in 0usize..300,
            ceiling in 0usize..300,
            seen in prop::collection::vec((any::<bool>(), 0u64..1 << 40, 0usize..1000), 0..300),
        ) {
            let (mut limit, mut now) = (Limit::new(floor, ceiling), Instant::now());
            for (answered, micros, in_flight) in seen {
                now += Duration::from_micros(micros % 50_000);
                if answered {
                    limit.answered(Duration::from_micros(micros), in_flight, now);
                } else {
                    limit.overloaded(now, in_flight, now);
                }
                let least = floor.max(1).min(ceiling.max(1));
                prop_assert!((least..=ceiling.max(1)).contains(&limit.current()));
            }
        }
    }
}
