//! Filling caches ahead of time: a list of paths is fetched through running asset servers, checked, and
//! thrown away. What the servers keep is theirs to decide; the report counts what they said.

pub mod cache_status;

pub mod manifest;

mod fetch;

mod report;

pub mod state;

use std::num::NonZeroU64;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Uri;

use crate::origin::ConnectError;
use crate::origin::http_server::{self, HttpClient};
use crate::pace::Pace;
use crate::store::{ObjectStore, RESERVED, StoreError};

pub use fetch::FetchError;
pub use manifest::Item;
pub use report::{Failure, Line, Progress, Report};
pub use state::State;

/// How it is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URLs of the servers; each gets every path.
    pub targets: Vec<Uri>,
    /// Requests at once, over all servers.
    pub concurrency: usize,
    /// Bytes per second, over all servers.
    pub rate: Option<NonZeroU64>,
    /// What is compared.
    pub check: Check,
    /// Between two pieces of a body, and until the head of an answer.
    pub idle_timeout: Duration,
    /// Tries of one request.
    pub attempts: u32,
}

/// What is compared with the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// That the answer is 200 and complete.
    Complete,
    /// Length, entity tag and hash too, where the manifest has them.
    Everything,
}

/// One run.
pub struct Warm {
    client: HttpClient,
    options: Options,
    pace: Pace,
}

impl Warm {
    /// Nothing is asked yet.
    pub fn new(options: Options, connect_timeout: Duration) -> Result<Self, ConnectError> {
        Ok(Self {
            client: http_server::client(connect_timeout, options.concurrency)?,
            pace: Pace::new(options.rate),
            options,
        })
    }

    /// Fetches all items from all servers, but for what `state` says is done. May be dropped.
    pub async fn run(&self, items: &[Item], state: &State, progress: &Progress) {
        let targets = &self.options.targets;
        let requests = items
            .iter()
            .flat_map(|item| targets.iter().map(move |to| (item, to)));
        futures_util::stream::iter(requests)
            .for_each_concurrent(
                self.options.concurrency.max(1),
                |(item, target)| async move {
                    let done = state::mark_of(target, item);
                    if state.has(&done) {
                        return progress.done_before();
                    }
                    match self.fetch(target, item, progress).await {
                        Ok(status) => {
                            progress.fetched(item, status);
                            if let Err(error) = state.add(&done) {
                                progress.failed(item, target, &error);
                            }
                        }
                        Err(error) => progress.failed(item, target, &error),
                    }
                },
            )
            .await;
    }
}

/// The objects of a mount whose path starts with `prefix`, as the origin lists them.
pub async fn listed(
    store: &dyn ObjectStore,
    mount: &str,
    prefix: &str,
) -> Result<Vec<Item>, StoreError> {
    let key_prefix = prefix.strip_prefix(mount).unwrap_or_default();
    let pages = futures_util::stream::try_unfold(Some(None::<String>), |page| async move {
        let Some(page) = page else { return Ok(None) };
        let listing = store.list(key_prefix, page.as_deref()).await?;
        Ok::<_, StoreError>(Some((listing.objects, listing.next.map(Some))))
    });
    let mut items = Vec::new();
    let mut pages = std::pin::pin!(pages);
    while let Some(page) = pages.try_next().await? {
        let objects = page.into_iter();
        let objects = objects.filter(|o| !o.key.starts_with(RESERVED) && !o.key.ends_with('/'));
        items.extend(objects.map(|object| Item {
            path: format!("{mount}{}", object.key),
            size: Some(object.size),
            etag: object.etag,
            sha256: None,
        }));
    }
    Ok(items)
}
