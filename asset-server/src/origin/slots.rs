//! Slots for requests in flight: a fair queue whose length the [`Limit`] decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::concurrency::Limit;

/// The slots of one store. Who waits is served in order.
#[derive(Debug)]
pub(super) struct Slots {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    /// Slots that exist, free and taken. More than the limit after a cut, until enough are returned.
    existing: usize,
}

/// A place among the requests in flight. It is held until the body has ended.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(limit: Limit) -> Arc<Self> {
        let existing = limit.current();
        Arc::new(Self {
            semaphore: Arc::new(Semaphore::new(existing)),
            state: Mutex::new(State { limit, existing }),
        })
    }

    /// `None` if no slot was free before the deadline.
    pub(super) async fn take(self: &Arc<Self>, deadline: Instant) -> Option<Slot> {
        let permit = match self.semaphore.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => timeout_at(deadline, self.semaphore.clone().acquire_owned())
                .await
                .ok()?
                .ok()?,
        };
        Some(Slot {
            slots: self.clone(),
            permit: Some(permit),
        })
    }

    /// Slots that are free; none while somebody waits for one.
    pub(super) fn free(&self) -> usize {
        let state = self.state();
        let free = self.semaphore.available_permits();
        free.min(state.limit.current().saturating_sub(state.existing - free))
    }

    /// The limit, and how many requests are in flight.
    pub(super) fn usage(&self) -> (usize, usize) {
        let state = self.state();
        (
            state.limit.current(),
            state.in_flight(self.semaphore.available_permits()),
        )
    }

    /// See [`Limit::answered`].
    pub(super) fn answered(&self, after: Duration, now: Instant) {
        self.learn(|limit, in_flight| limit.answered(after, in_flight, now));
    }

    /// See [`Limit::overloaded`].
    pub(super) fn overloaded(&self, sent: Instant, now: Instant) {
        self.learn(|limit, in_flight| limit.overloaded(sent, in_flight, now));
    }

    fn learn(&self, tell: impl FnOnce(&mut Limit, usize)) {
        let mut state = self.state();
        let in_flight = state.in_flight(self.semaphore.available_permits());
        tell(&mut state.limit, in_flight);
        let limit = state.limit.current();
        if limit > state.existing {
            self.semaphore.add_permits(limit - state.existing);
            state.existing = limit;
        } else {
            // Those that are taken go when they are returned.
            state.existing -= self.semaphore.forget_permits(state.existing - limit);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn in_flight(&self, free: usize) -> usize {
        self.existing.saturating_sub(free)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let mut state = self.slots.state();
        if state.existing > state.limit.current() {
            permit.forget();
            state.existing -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_in_use_go_when_they_are_returned_and_come_back_with_the_limit() {
        let slots = Slots::new(Limit::new(1, 4));
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(slots.take(deadline).await.expect("free"));
        }
        let now = Instant::now();
        slots.overloaded(now, now);
        assert_eq!(slots.usage(), (2, 4));
        taken.truncate(2);
        assert_eq!((slots.usage(), slots.free()), ((2, 2), 0));
        assert!(slots.take(Instant::now()).await.is_none());
        taken.truncate(1);
        assert_eq!((slots.usage(), slots.free()), ((2, 1), 1));
        for i in 0..200 {
            slots.answered(
                Duration::from_millis(1),
                now + Duration::from_millis(20 * i),
            );
        }
        // One in flight does not fill a limit of more than two.
        assert_eq!((slots.usage(), slots.free()), ((2, 1), 1));
    }
}
