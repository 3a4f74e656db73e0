//! One job: what it is, how far it has come, what it has logged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use super::pi::PiEstimate;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for others to finish.
    Queued,
    /// Is being worked on.
    Running,
    /// Has its result.
    Succeeded,
}

/// A job as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Under which the API knows it.
    pub id: u64,
    /// As submitted.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// How many steps it has.
    pub steps: u32,
    /// How many of them are done.
    pub steps_done: u32,
    /// The value so far: the result once it has succeeded.
    pub estimate: f64,
}

/// Shared by the task that works on it and the requests that ask after it.
#[derive(Debug)]
pub(super) struct Job {
    progress: Mutex<Progress>,
    /// Counts changes, so that a reader can wait for the next.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Progress {
    status: JobStatus,
    /// A few lines and one for each step, and the number of steps is bounded.
    log: Vec<Arc<str>>,
}

impl Job {
    pub(super) fn new(id: u64, name: String, steps: u32) -> Self {
        let log = vec![format!("{name}: queued, {steps} steps").into()];
        let status = JobStatus {
            id,
            name,
            state: JobState::Queued,
            steps,
            steps_done: 0,
            estimate: 0.0,
        };
        Self {
            progress: Mutex::new(Progress { status, log }),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn status(&self) -> JobStatus {
        self.progress().status.clone()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.progress().status.state == JobState::Succeeded
    }

    /// The log from line `from` on (the first is 0), and whether no line can follow.
    pub(super) fn log_from(&self, from: usize) -> (Vec<Arc<str>>, bool) {
        let progress = self.progress();
        let lines = progress.log.get(from..).unwrap_or_default().to_vec();
        (lines, progress.status.state == JobState::Succeeded)
    }

    /// Subscribed before the log is read, it misses no change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Works on the job to its end, once `slots` has room.
    pub(super) async fn run(self: Arc<Self>, slots: Arc<Semaphore>, step_pause: Duration) {
        let Ok(_slot) = slots.acquire().await else {
            return;
        };
        let JobStatus { id, steps, .. } = self.status();
        self.advance("started".to_owned(), |status| {
            status.state = JobState::Running;
        });

        let mut estimate = PiEstimate::new(id);
        for done in 1..=steps {
            tokio::time::sleep(step_pause).await;
            // A step is short enough to be taken on the runtime's own thread.
            estimate.step();
            let value = estimate.value();
            self.advance(
                format!("step {done} of {steps}: pi is about {value:.6}"),
                |status| {
                    status.steps_done = done;
                    status.estimate = value;
                },
            );
        }
        self.advance("succeeded".to_owned(), |status| {
            status.state = JobState::Succeeded;
        });
    }

    fn advance(&self, line: String, change: impl FnOnce(&mut JobStatus)) {
        {
            let mut progress = self.progress();
            change(&mut progress.status);
            progress.log.push(line.into());
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
