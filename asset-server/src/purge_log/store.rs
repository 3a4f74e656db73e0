//! Where the log is: a bucket, or a directory that all instances share.
//!
//! `.edge/purges/<id>.json` is a purge, `.edge/purge-reports/<region>.<instance>.json` how far an
//! instance is. No URL leads there, since `.edge` is no key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::LOG_TIMEOUT;
use super::answer::Name;
use super::id::PurgeId;
use super::record::{MOST_BYTES, Record};
use super::report::Report;
use crate::config::{self, OriginLimits};
use crate::origin::{ConnectError, OriginError, SmallObjects};

const PURGES: &str = ".edge/purges/";
const REPORTS: &str = ".edge/purge-reports/";

/// Why the log cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("the purge log cannot be used: {0}")]
    Bucket(#[from] OriginError),
    #[error("the purge log cannot be used: {0}")]
    Directory(#[from] io::Error),
    #[error("the purge log does not answer")]
    Timeout,
}

/// The log.
pub(super) enum Store {
    Bucket(Box<SmallObjects>),
    Directory(Arc<Path>),
}

impl Store {
    pub(super) fn open(
        log: &config::PurgeLogStore,
        limits: &OriginLimits,
    ) -> Result<Self, ConnectError> {
        Ok(match log {
            config::PurgeLogStore::S3(s3) => Self::Bucket(Box::new(SmallObjects::new(s3, limits)?)),
            config::PurgeLogStore::Directory(path) => Self::Directory(path.as_path().into()),
        })
    }

    pub(super) async fn append(&self, record: &Record) -> Result<(), LogError> {
        self.put(&purge_object(record.id), record.to_bytes()).await
    }

    /// Ids of the records made at `from` (milliseconds since 1970) or later, oldest first. Names that
    /// are no ids are not ours.
    pub(super) async fn list(&self, from: u64) -> Result<Vec<PurgeId>, LogError> {
        let names = self.names(PURGES, &format!("{from:013}")).await?;
        let mut ids: Vec<PurgeId> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The bytes of a record; `None` where there is no such record.
    pub(super) async fn read(&self, id: PurgeId) -> Result<Option<Vec<u8>>, LogError> {
        self.get(&purge_object(id)).await
    }

    pub(super) async fn remove(&self, id: PurgeId) -> Result<(), LogError> {
        self.delete(&purge_object(id)).await
    }

    pub(super) async fn report(&self, report: &Report) -> Result<(), LogError> {
        let object = format!("{REPORTS}{}", Report::object(&report.name));
        self.put(&object, report.to_bytes()).await
    }

    /// All reports that can be read.
    pub(super) async fn reports(&self) -> Result<Vec<Report>, LogError> {
        let names = self.names(REPORTS, "").await?;
        let read = names.iter().map(async |name| {
            let bytes = self.get(&format!("{REPORTS}{name}")).await.ok()??;
            Report::parse(&bytes)
        });
        let reports = futures_util::future::join_all(read).await;
        Ok(reports.into_iter().flatten().collect())
    }

    pub(super) async fn remove_report(&self, name: &Name) -> Result<(), LogError> {
        self.delete(&format!("{REPORTS}{}", Report::object(name)))
            .await
    }

    // === by kind ===

    async fn put(&self, object: &str, body: Vec<u8>) -> Result<(), LogError> {
        match self {
            Self::Bucket(bucket) => in_time(bucket.put(object, body)).await,
            Self::Directory(root) => {
                let target = root.join(object);
                in_time(blocking(move || write_whole(&target, &body))).await
            }
        }
    }

    async fn get(&self, object: &str) -> Result<Option<Vec<u8>>, LogError> {
        match self {
            Self::Bucket(bucket) => in_time(bucket.get(object, MOST_BYTES)).await,
            Self::Directory(root) => {
                let path = root.join(object);
                in_time(blocking(move || none_if_missing(std::fs::read(path)))).await
            }
        }
    }

    async fn delete(&self, object: &str) -> Result<(), LogError> {
        match self {
            Self::Bucket(bucket) => in_time(bucket.delete(object)).await,
            Self::Directory(root) => {
                let path = root.join(object);
                in_time(blocking(move || {
                    none_if_missing(std::fs::remove_file(path)).map(|_| ())
                }))
                .await
            }
        }
    }

    /// Names below `folder` that sort after `after`, without the folder.
    async fn names(&self, folder: &'static str, after: &str) -> Result<Vec<String>, LogError> {
        match self {
            Self::Bucket(bucket) => {
                let after = format!("{folder}{after}");
                let keys = in_time(bucket.list(folder, &after)).await?;
                let names = keys.iter().filter_map(|key| key.strip_prefix(folder));
                Ok(names.map(str::to_owned).collect())
            }
            Self::Directory(root) => {
                let (path, after) = (root.join(folder), after.to_owned());
                in_time(blocking(move || names_in(&path, &after))).await
            }
        }
    }
}

fn purge_object(id: PurgeId) -> String {
    format!("{PURGES}{id}.json")
}

async fn in_time<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, LogError>
where
    LogError: From<E>,
{
    match tokio::time::timeout(LOG_TIMEOUT, work).await {
        Ok(done) => done.map_err(LogError::from),
        Err(_) => Err(LogError::Timeout),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Under another name first, so that nobody reads half of it.
pub(super) fn write_whole(target: &Path, body: &[u8]) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    let partial: PathBuf = folder.join(format!(".{:016x}.partial", fastrand::u64(..)));
    std::fs::write(&partial, body)?;
    std::fs::rename(&partial, target).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}

fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn names_in(folder: &Path, after: &str) -> io::Result<Vec<String>> {
    let Some(entries) = none_if_missing(std::fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
            && name.as_str() > after
        {
            names.push(name);
        }
    }
    Ok(names)
}
