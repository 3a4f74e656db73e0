//! Purges that reach every instance of every region, and who has done them.
//!
//! A purge travels two ways at once. Peers that can be reached are told directly and answer within a
//! round trip. It is also recorded in a log of small objects in a bucket (or a shared directory), which
//! every instance reads every few seconds; what was cut off applies what it missed when it is back, and
//! before it serves when it starts. Each instance leaves a report of how far it is beside the log, so
//! anybody can say who has done a purge and who has not.
//!
//! What a purge removes is decided in `cache::purge`; this is only about everybody doing it. With
//! neither a log nor peers a purge is local, and the answer names one instance.

pub mod answer;

pub mod id;

pub mod progress;

pub mod record;

mod coordinate;

mod follow;

mod peers;

mod report;

mod store;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::sync::Notify;

use self::answer::{Known, Name};
use self::id::PurgeId;
use self::peers::Peers;
pub use self::peers::PostToRegion;
use self::progress::Progress;
use self::record::Record;
use self::store::Store;
use crate::cache::Cache;
use crate::cache::purge::{Purge, PurgeReport};
use crate::config::{self, OriginLimits};
use crate::metrics::PurgeSource;
use crate::origin::ConnectError;

/// Longest wait for the log, at a start and for one purge. What it has by then is what counts.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// This instance's part in purging everywhere.
pub(crate) struct PurgeLog {
    name: Name,
    cache: Arc<Cache>,
    peers: Peers,
    log: Option<Log>,
    recent: Arc<RecentPurges>,
}

/// The log, and how far this instance is in it.
struct Log {
    store: Store,
    interval: Duration,
    keep: Duration,
    progress: Mutex<Progress>,
    /// Where the progress outlives a restart, as the files of the disk tier do.
    marker: Option<PathBuf>,
    /// There is something to report, or to fetch.
    news: Arc<Notify>,
    /// One reader at a time.
    reading: tokio::sync::Mutex<follow::Reported>,
}

impl PurgeLog {
    /// Joins the others: applies what was missed, for at most five seconds, and goes on reading in the background.
    pub(crate) async fn start(
        config: &config::PurgeEverywhere,
        region: &str,
        disk: Option<PathBuf>,
        limits: &OriginLimits,
        cache: Arc<Cache>,
        recent: Arc<RecentPurges>,
    ) -> Result<Arc<Self>, ConnectError> {
        let name = Name {
            region: region.to_owned(),
            instance: config.instance.clone(),
        };
        let log = match &config.log {
            None => None,
            Some(log) => {
                let marker = disk.map(|directory| directory.join("purges.json"));
                let held = cache.disk.as_ref().map_or(0, |disk| disk.usage().0);
                let (progress, outdated) =
                    follow::resume(marker.as_deref(), held, config.keep, SystemTime::now());
                if outdated {
                    tracing::warn!(
                        "away for longer than purges are kept: the whole disk tier is purged"
                    );
                    cache.purge(&Purge::Prefix("/".into())).await;
                }
                Some(Log {
                    store: Store::open(log, limits)?,
                    interval: config.poll_interval,
                    keep: config.keep,
                    progress: Mutex::new(progress),
                    marker,
                    news: Arc::default(),
                    reading: tokio::sync::Mutex::default(),
                })
            }
        };
        let purges = Arc::new(Self {
            name,
            cache,
            peers: Peers::new(config)?,
            log,
            recent,
        });
        purges.clone().follow().await;
        Ok(purges)
    }

    /// Tells these regions of purges, too, over links of whoever embeds us.
    pub(crate) fn tell_regions(&self, regions: Vec<String>, post: PostToRegion) {
        self.peers.tell_regions(regions, post);
    }

    /// Removes here what a record covers. Everything that purges goes through this.
    async fn apply(&self, record: &Record, source: PurgeSource) -> PurgeReport {
        let mut total = PurgeReport::default();
        for purge in &record.purges {
            total.add(self.cache.purge(purge).await);
        }
        self.cache.metrics.purge(source);
        self.recent().note(record.id);
        if let Some(log) = &self.log {
            log.progress().note(record.id);
        }
        total
    }

    /// Whether a purge has been applied here. One that has not is looked for at once.
    pub(crate) fn knows(&self, id: PurgeId) -> bool {
        let known =
            self.recent().has(id) || self.log.as_ref().is_some_and(|log| log.progress().has(id));
        if let (false, Some(log)) = (known, &self.log) {
            log.news.notify_one();
        }
        known
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock()
    }
}

impl Log {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest purges applied here, shared with those who ask a shield.
#[derive(Default)]
pub(crate) struct RecentPurges(Mutex<Recent>);

/// How long after a purge a shield is told of it. A shield that lags further has not read the log for as long.
const TOLD: Duration = Duration::from_secs(600);

impl RecentPurges {
    /// Their ids, comma-separated; `None` if there was none of late.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let since = id::milliseconds(SystemTime::now().checked_sub(TOLD)?);
        let ids: Vec<String> = {
            let recent = self.lock();
            let ids = recent.0.iter().map(|(id, _)| id);
            let new = ids.filter(|id| id.milliseconds() >= since);
            new.map(PurgeId::to_string).collect()
        };
        HeaderValue::try_from(ids.join(","))
            .ok()
            .filter(|value| !value.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest purges: those applied here, so that a shield can be asked for answers newer than they, and
/// what is known of those that were asked for here.
#[derive(Default)]
struct Recent(VecDeque<(PurgeId, Option<Known>)>);

impl Recent {
    /// How many are remembered.
    const MOST: usize = 64;

    fn has(&self, id: PurgeId) -> bool {
        self.0.iter().any(|(noted, _)| *noted == id)
    }

    fn note(&mut self, id: PurgeId) {
        if self.has(id) {
            return;
        }
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, None));
    }

    fn answered(&mut self, id: PurgeId, known: Known) {
        let noted = self.0.iter_mut().find(|(noted, _)| *noted == id);
        if let Some((_, slot)) = noted {
            *slot = Some(known);
        }
    }

    fn known(&self, id: PurgeId) -> Option<Known> {
        let noted = self.0.iter().find(|(noted, _)| *noted == id);
        noted.and_then(|(_, known)| known.clone())
    }
}
