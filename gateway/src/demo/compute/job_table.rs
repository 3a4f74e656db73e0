//! The jobs that are kept: a bounded number, the oldest finished one first to go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ComputeOptions;
use super::job::{Job, JobStatus};
use super::problem::Problem;

/// Shared by all requests; jobs end when it is dropped.
#[derive(Debug)]
pub(super) struct JobTable {
    options: ComputeOptions,
    slots: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last_id: u64,
    jobs: BTreeMap<u64, Arc<Job>>,
    running: JoinSet<()>,
}

impl JobTable {
    pub(super) fn new(options: ComputeOptions) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(options.jobs_at_once));
        Arc::new(Self {
            options,
            slots,
            kept: Mutex::default(),
        })
    }

    /// Queues a job.
    pub(super) fn submit(&self, name: String, steps: u32) -> Result<JobStatus, Problem> {
        if name.is_empty() || name.chars().count() > 100 {
            return Err(Problem::BadName);
        }
        if !(1..=1000).contains(&steps) {
            return Err(Problem::BadSteps);
        }
        let mut kept = self.kept();
        kept.make_room(self.options.jobs_kept)?;
        kept.last_id += 1;
        let job = Arc::new(Job::new(kept.last_id, name, steps));
        let status = job.status();
        kept.jobs.insert(status.id, Arc::clone(&job));
        while kept.running.try_join_next().is_some() {}
        kept.running
            .spawn(job.run(Arc::clone(&self.slots), self.options.step_pause));
        Ok(status)
    }

    pub(super) fn job(&self, id: u64) -> Result<Arc<Job>, Problem> {
        self.kept().jobs.get(&id).cloned().ok_or(Problem::NoSuchJob)
    }

    /// Oldest first.
    pub(super) fn statuses(&self) -> Vec<JobStatus> {
        self.kept().jobs.values().map(|job| job.status()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn make_room(&mut self, limit: usize) -> Result<(), Problem> {
        if self.jobs.len() < limit {
            return Ok(());
        }
        let oldest_finished = self
            .jobs
            .iter()
            .find(|(_, job)| job.is_finished())
            .map(|(&id, _)| id);
        self.jobs.remove(&oldest_finished.ok_or(Problem::Full)?);
        Ok(())
    }
}
