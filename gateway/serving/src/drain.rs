//! Drain: stop accepting, finish what is in flight, then exit.
//!
//! A [`Drain`] is passed down to whatever must end well. Work that must finish is spawned on it;
//! whatever could go on for ever watches [`Drain::started`].

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle on the process's end. Clones speak of the same end.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    signal: CancellationToken,
    in_flight: TaskTracker,
}

impl Drain {
    /// A drain that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to drain: readiness goes off, listeners close, connections finish their requests.
    pub fn begin(&self) {
        self.signal.cancel();
    }

    /// Whether the drain has begun.
    pub fn has_started(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Completes when the drain begins.
    pub async fn started(&self) {
        self.signal.cancelled().await;
    }

    /// Runs `work` as a task that the drain waits for.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.in_flight.spawn(work);
    }

    /// Waits until all tracked work is done, `limit` at most. Returns how many tasks were left.
    pub async fn finish(&self, limit: Duration) -> usize {
        self.in_flight.close();
        let _ = tokio::time::timeout(limit, self.in_flight.wait()).await;
        self.in_flight.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Drain;

    #[tokio::test(start_paused = true)]
    async fn work_in_flight_is_waited_for_up_to_the_limit() {
        let drain = Drain::new();
        let signal = drain.clone();
        drain.spawn(async move {
            signal.started().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        assert!(!drain.has_started());
        drain.begin();
        assert_eq!(drain.finish(Duration::from_secs(1)).await, 1);
        assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
    }
}
