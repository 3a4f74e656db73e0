//! Reads the log every few seconds, applies what is new, and reports it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::id::{PurgeId, milliseconds};
use super::progress::Progress;
use super::record::Record;
use super::report::Report;
use super::store::{LogError, write_whole};
use super::{LOG_TIMEOUT, Log, PurgeLog};
use crate::metrics::PurgeSource;

/// Records read at once.
const READS: usize = 16;

/// A report is renewed at least this often, so that it shows who is there.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// How often old records are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// What was last written of this instance's progress.
#[derive(Default)]
pub(super) struct Reported {
    at: Option<Instant>,
    newest: Progress,
    swept: Option<Instant>,
    left: bool,
}

/// Where to go on from, for a disk tier of `held` objects, and whether that is further back than the
/// log: then nobody knows what was missed.
pub(super) fn resume(
    marker: Option<&Path>,
    held: u64,
    keep: Duration,
    now: SystemTime,
) -> (Progress, bool) {
    if held == 0 {
        return (Progress::of_empty_cache(now), false);
    }
    let read = marker.and_then(|path| std::fs::read(path).ok());
    let progress: Option<Progress> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match progress {
        // Files from before there was a log, or a marker that is damaged: the whole log is applied.
        None => (Progress::default(), false),
        Some(progress) if progress.complete_before() < oldest_kept(keep, now) => {
            (Progress::of_empty_cache(now), true)
        }
        Some(progress) => (progress, false),
    }
}

fn oldest_kept(keep: Duration, now: SystemTime) -> u64 {
    milliseconds(now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH))
}

impl PurgeLog {
    /// Catches up once, then in the background for as long as somebody holds this.
    pub(super) async fn follow(self: Arc<Self>) {
        let Some(log) = &self.log else { return };
        let first = timeout(LOG_TIMEOUT, self.catch_up()).await;
        self.note(first.unwrap_or(Err(LogError::Timeout)));
        let (news, interval) = (log.news.clone(), log.interval);
        let purges = Arc::downgrade(&self);
        tokio::spawn(async move {
            loop {
                // Instances that started together should not ask together for ever.
                let pause = interval.mul_f64(0.75 + fastrand::f64() / 2.0);
                tokio::select! {
                    () = sleep(pause) => {}
                    () = news.notified() => {}
                }
                let Some(purges) = purges.upgrade() else {
                    return;
                };
                let read = purges.catch_up().await;
                purges.note(read);
            }
        });
    }

    fn note(&self, read: Result<(), LogError>) {
        if let Err(error) = read {
            self.cache.metrics.purge_log_errors.inc();
            tracing::warn!(%error, "purges that others were asked for may be missing here");
        }
    }

    /// Applies what the log has and this instance has not, and reports it.
    pub(super) async fn catch_up(&self) -> Result<(), LogError> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut reported = log.reading.lock().await;
        let began = SystemTime::now();
        let from = log.progress().complete_before();
        let listed = log.store.list(from).await?;
        let missing: Vec<PurgeId> = {
            let progress = log.progress();
            let missing = listed.iter().filter(|id| !progress.has(**id));
            missing.copied().collect()
        };
        let mut result = Ok(());
        let mut records = futures_util::stream::iter(missing)
            .map(async |id| (id, log.store.read(id).await))
            .buffered(READS);
        while let Some((id, read)) = records.next().await {
            match read.map(|bytes| bytes.map(|bytes| Record::parse(id, &bytes))) {
                Ok(Some(Some(record))) => {
                    self.apply(&record, PurgeSource::Log).await;
                }
                Ok(Some(None)) => {
                    self.cache.metrics.purge_log_errors.inc();
                    tracing::error!(%id, "a purge in the log cannot be read, and is not applied");
                }
                // Removed since it was listed: it was too old to matter.
                Ok(None) => log.progress().note(id),
                Err(error) => result = Err(error),
            }
        }
        log.progress().listed(began, &listed);
        if result.is_ok() {
            let seconds = milliseconds(began) / 1000;
            let gauge = &self.cache.metrics.purge_log_read;
            gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        }
        self.report(log, &mut reported).await?;
        log.sweep(&mut reported).await?;
        result
    }

    /// Writes down how far this instance is, where that is news: for its own restart, then for others.
    async fn report(&self, log: &Log, reported: &mut Reported) -> Result<(), LogError> {
        let progress = log.progress().clone();
        let due = reported.at.is_none_or(|at| at.elapsed() >= HEARTBEAT);
        if reported.left || !(due || progress.has_more_than(&reported.newest)) {
            return Ok(());
        }
        if let Some(marker) = log.marker.clone() {
            let bytes = serde_json::to_vec(&progress).unwrap_or_default();
            let written = tokio::task::spawn_blocking(move || write_whole(&marker, &bytes)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "after a restart, purges will be applied again");
            }
        }
        let report = Report {
            name: self.name.clone(),
            seen: milliseconds(SystemTime::now()),
            progress,
        };
        log.store.report(&report).await?;
        reported.newest = report.progress;
        reported.at = Some(Instant::now());
        Ok(())
    }

    /// This instance ends in good order: nobody needs to wait for it. What it misses it applies when it
    /// starts again, before it serves.
    pub(crate) async fn leave(&self) {
        let Some(log) = &self.log else { return };
        let left = async {
            log.reading.lock().await.left = true;
            log.store.remove_report(&self.name).await
        };
        if !matches!(timeout(LOG_TIMEOUT, left).await, Ok(Ok(()))) {
            tracing::warn!("this instance is still listed among those that purge");
        }
    }
}

impl Log {
    /// Removes records, and reports of instances not seen, that are older than is kept.
    async fn sweep(&self, reported: &mut Reported) -> Result<(), LogError> {
        if reported.swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return Ok(());
        }
        let oldest = oldest_kept(self.keep, SystemTime::now());
        let listed = self.store.list(0).await?;
        for id in listed.into_iter().filter(|id| id.milliseconds() < oldest) {
            self.store.remove(id).await?;
        }
        for report in self.store.reports().await? {
            if report.seen < oldest {
                self.store.remove_report(&report.name).await?;
            }
        }
        reported.swept = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_for_longer_than_the_log_reaches_has_missed_what_nobody_knows() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let marker = directory.path().join("purges.json");
        let (day, now) = (Duration::from_secs(86_400), SystemTime::now());
        let write = |at: SystemTime| {
            let bytes = serde_json::to_vec(&Progress::of_empty_cache(at)).expect("JSON");
            std::fs::write(&marker, bytes).expect("a file");
        };
        let resumed = |held| resume(Some(&marker), held, 7 * day, now);

        assert_eq!(resumed(5), (Progress::default(), false), "no marker");
        write(now - 2 * day);
        assert_eq!(resumed(5), (Progress::of_empty_cache(now - 2 * day), false));
        write(now - 8 * day);
        assert_eq!(resumed(5), (Progress::of_empty_cache(now), true));
        assert_eq!(resumed(0), (Progress::of_empty_cache(now), false), "empty");
        std::fs::write(&marker, "{\"complete_before\": -1").expect("a file");
        assert_eq!(resumed(5), (Progress::default(), false), "damaged");
    }
}
