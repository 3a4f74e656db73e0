//! One purge, from the instance that was asked for it to everybody, and who has done it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::PurgeLog;
use super::answer::{Known, Name, PurgeAnswer};
use super::id::{PurgeId, milliseconds};
use super::peers::{Answers, Done};
use super::record::Record;
use super::store::LogError;
use crate::cache::purge::Purge;
use crate::metrics::PurgeSource;

/// Pause before those who have not done a purge are asked again.
const PAUSE: Duration = Duration::from_millis(100);

impl PurgeLog {
    /// Purges everywhere. It returns when everybody has done it, or else after `wait`, but never before
    /// everybody was asked once.
    pub(crate) async fn everywhere(
        &self,
        purges: Vec<Purge>,
        wait: Duration,
        source: PurgeSource,
    ) -> PurgeAnswer {
        let deadline = Instant::now() + wait;
        let record = Record::new(self.name.clone(), purges);
        let mut answers = Answers::new();
        let logged = async {
            match &self.log {
                None => Ok(()),
                Some(log) => log.store.append(&record).await,
            }
        };
        let (mut logged, removed, ()) = tokio::join!(
            logged,
            self.apply(&record, source),
            self.peers.tell(&record, &mut answers)
        );
        self.news();
        loop {
            let mut known = self.reported(record.id).await;
            known.answered.insert(self.name.clone(), Some(removed));
            for done in answers.iter().flatten().flatten() {
                known.answered.insert(done.name.clone(), Some(done.removed));
            }
            known.silent = self.peers.silent(&answers);
            if let Err(error) = &logged {
                known.log_error = Some(error.to_string());
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            let answer = known.clone().answer(record.id);
            if answer.complete || remaining.is_zero() {
                tracing::info!(
                    id = %record.id,
                    complete = answer.complete,
                    pending = answer.regions.pending.join(", "),
                    "purged"
                );
                self.recent().answered(record.id, known);
                return answer;
            }
            sleep(PAUSE.min(remaining)).await;
            if let (Err(_), Some(log)) = (&logged, &self.log) {
                logged = log.store.append(&record).await;
            }
            self.peers.tell(&record, &mut answers).await;
        }
    }

    /// Purges here alone, as a peer or an operator asks. `id` is the record's that others have too.
    pub(crate) async fn here(&self, id: Option<PurgeId>, purges: Vec<Purge>) -> Done {
        let mut record = Record::new(self.name.clone(), purges);
        if let Some(id) = id {
            record.id = id;
        }
        let source = match id {
            Some(_) => PurgeSource::Peer,
            None => PurgeSource::Admin,
        };
        let removed = self.apply(&record, source).await;
        self.news();
        Done {
            name: self.name.clone(),
            removed,
        }
    }

    /// The state of a purge; `None` for one that is not known, or no longer.
    pub(crate) async fn state(&self, id: PurgeId) -> Result<Option<PurgeAnswer>, String> {
        let asked_here = self.recent().known(id);
        let Some(log) = &self.log else {
            return Ok(asked_here.map(|known| known.answer(id)));
        };
        let recorded = log
            .store
            .read(id)
            .await
            .map_err(|error| error.to_string())?;
        if recorded.is_none() && asked_here.is_none() {
            return Ok(None);
        }
        let mut known = self.reported(id).await;
        if log.progress().has(id) {
            known.answered.insert(self.name.clone(), None);
        }
        if recorded.is_none() {
            known.log_error = Some("it is not in the log".into());
        }
        if let Some(earlier) = asked_here {
            known.answered.extend(earlier.answered);
            known.silent = earlier.silent;
        }
        Ok(Some(known.answer(id)))
    }

    /// What the reports beside the log say of a purge.
    async fn reported(&self, id: PurgeId) -> Known {
        let Some(log) = &self.log else {
            return Known::default();
        };
        let now = milliseconds(SystemTime::now());
        let reports: Result<_, LogError> = log.store.reports().await;
        match reports {
            Ok(reports) => {
                let reported = reports.into_iter().map(|report| {
                    let seen = now.saturating_sub(report.seen) / 1000;
                    (report.name, (report.progress.has(id), seen))
                });
                Known {
                    reported: reported.collect::<BTreeMap<Name, _>>(),
                    ..Known::default()
                }
            }
            Err(error) => Known {
                log_error: Some(error.to_string()),
                ..Known::default()
            },
        }
    }

    /// Wakes the task that reports.
    fn news(&self) {
        if let Some(log) = &self.log {
            log.news.notify_one();
        }
    }
}
