//! The asset server as a value: started, asked, purged, dropped.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use prometheus::Registry;
use tokio::task::spawn_blocking;
use tower_service::Service;

use crate::admin;
use crate::cache::Cache;
use crate::cache::disk::OpenError;
use crate::cache::purge::{Purge, PurgeReport};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::mount::Mounts;
use crate::origin::{ConnectError, OriginStatus, RequestBody, Source};
use crate::purge_log::{PostToRegion, PurgeLog};
use crate::request_path::First;
use crate::respond::body::AssetBody;
use crate::s3_events::{Buckets, ObjectEvent};
use crate::signed_url::Keys;

/// One region's cache in front of its origins. Clones are one and the same.
#[derive(Clone)]
pub struct AssetServer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Identifies the cache in `Cache-Status` and `Proxy-Status`.
    pub(crate) name: String,
    pub(crate) mounts: Mounts,
    pub(crate) cache: Arc<Cache>,
    pub(crate) purges: Arc<PurgeLog>,
    buckets: Buckets,
    /// The keys that URLs of private mounts are signed with.
    pub(crate) signing: Option<Keys>,
}

/// Why an asset server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk tier belongs to another process.
    #[error("disk.path: {0}")]
    Disk(#[from] OpenError),
    /// An origin cannot even be set up. One that is merely away does not stop the start.
    #[error("mount {mount}: {source}")]
    Origin {
        /// Path of the mount.
        mount: String,
        /// What is missing.
        source: ConnectError,
    },
    /// The other instances cannot be told of purges.
    #[error("purge: {0}")]
    Purge(#[source] ConnectError),
    /// The registry has metrics of these names already.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The thread that reads the disk tier ended.
    #[error("the disk tier cannot be opened")]
    Interrupted,
}

impl AssetServer {
    /// Opens the tiers, connects the origins, and begins to check them. An origin that is away does
    /// not stop it: [`AssetServer::origins`] says so.
    pub async fn start(config: Config, registry: &Registry) -> Result<Self, StartError> {
        let metrics = Metrics::register(registry)?;
        let recent = Arc::default();
        let mounts = Mounts::connect(&config, &metrics, &recent)
            .map_err(|(mount, source)| StartError::Origin { mount, source })?;
        let interval = config.origin.check_interval;
        let signing = config.signing.clone();
        let name = config.cache_name();
        let buckets = Buckets::of(&config);
        let (region, purge) = (config.region.clone(), config.purge.clone());
        let (disk, limits) = (config.disk.clone(), config.origin.clone());
        let opened = spawn_blocking(move || Cache::open(&config, metrics)).await;
        let cache = Arc::new(opened.map_err(|_| StartError::Interrupted)??);
        // Before anything is served: the disk tier may hold what was purged meanwhile.
        let disk = disk.map(|disk| disk.path);
        let purges = PurgeLog::start(&purge, &region, disk, &limits, cache.clone(), recent)
            .await
            .map_err(StartError::Purge)?;
        let inner = Arc::new(Inner {
            name,
            mounts,
            cache,
            purges,
            buckets,
            signing,
        });
        inner.look_after(interval);
        Ok(Self { inner })
    }

    /// Answers one request. `body` is asked for only if the method has one that is passed on.
    pub async fn respond(
        &self,
        request: &Parts,
        body: impl FnOnce() -> RequestBody,
    ) -> Response<AssetBody> {
        match self.inner.first(request) {
            First::Done(response) => response,
            // Boxed, so that a hit does not carry the room that a miss would need.
            First::Miss(miss) => Box::pin(self.inner.then(request, miss)).await,
            First::Forward(miss) => Box::pin(self.inner.forward(request, miss, body())).await,
            First::Write(miss) => Box::pin(self.inner.write(request, &miss, body())).await,
        }
    }

    /// Whether what a GET or HEAD asks for lies in memory or on disk here. A hint: what is found may turn
    /// out to be stale, or another form of the object.
    pub fn is_cached(&self, request: &Parts) -> bool {
        self.inner.is_cached(request)
    }

    /// Whether the answer to a request may depend on [`ClientAddress`](crate::ClientAddress).
    pub fn asks_for_client(&self) -> bool {
        self.inner.signing.is_some()
    }

    /// How each origin is doing, those of one mount in order.
    pub fn origins(&self) -> Vec<OriginStatus> {
        self.inner
            .mounts
            .iter()
            .flat_map(|mount| mount.origin.status())
            .collect()
    }

    /// Removes objects here. It returns when no restart can bring them back.
    pub async fn purge(&self, what: &Purge) -> PurgeReport {
        self.inner.cache.purge(what).await
    }

    /// Says goodbye: after a drain nobody needs to wait for this instance to purge anything.
    pub async fn leave(&self) {
        self.inner.purges.leave().await;
    }

    /// Purging everywhere.
    pub(crate) fn purges(&self) -> &PurgeLog {
        &self.inner.purges
    }

    /// The paths that an object of a bucket is cached under.
    pub(crate) fn paths_of(&self, event: &ObjectEvent) -> Vec<String> {
        self.inner.buckets.paths(event)
    }

    /// Tells other regions of purges over links of the caller's, beside the configured peers. Once.
    pub fn tell_regions_of_purges(&self, regions: Vec<String>, post: PostToRegion) {
        self.inner.purges.tell_regions(regions, post);
    }

    /// `/api/v1/cache` and `/api/v1/purge` together, for a caller that guards both alike.
    pub fn admin_router(&self) -> axum::Router {
        self.stats_router().merge(self.purge_router())
    }

    /// `GET /api/v1/cache`: what the tiers hold and how the origins are. `GET /api/v1/purge/<id>`: who has
    /// done a purge.
    pub fn stats_router(&self) -> axum::Router {
        admin::reads(self.clone())
    }

    /// `POST /api/v1/purge` and `POST /api/v1/events`. The caller asks for the admin token first.
    pub fn purge_router(&self) -> axum::Router {
        admin::changes(self.clone())
    }

    pub(crate) fn usage(&self) -> Usage {
        let cache = &self.inner.cache;
        Usage {
            memory: cache.memory.usage(),
            disk: cache.disk.as_ref().map(|disk| disk.usage()),
        }
    }
}

/// Objects and bytes of each tier.
pub(crate) struct Usage {
    pub(crate) memory: (u64, u64),
    pub(crate) disk: Option<(u64, u64)>,
}

impl Inner {
    /// Checks every origin now and then, and sets the gauges, for as long as somebody holds the server.
    fn look_after(self: &Arc<Self>, interval: std::time::Duration) {
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(inner) = inner.upgrade() {
                futures_util::future::join_all(
                    inner.mounts.iter().map(|mount| mount.origin.check()),
                )
                .await;
                inner
                    .cache
                    .metrics
                    .tier("memory", inner.cache.memory.usage());
                if let Some(disk) = &inner.cache.disk {
                    inner.cache.metrics.tier("disk", disk.usage());
                }
                drop(inner);
                tokio::time::sleep(interval).await;
            }
        });
    }
}

impl<B> Service<Request<B>> for AssetServer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Source>,
{
    type Response = Response<AssetBody>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        let (parts, body) = request.into_parts();
        match self.inner.first(&parts) {
            First::Done(response) => Responding::Done(Some(response)),
            First::Miss(miss) => {
                let inner = self.inner.clone();
                Responding::Waiting(Box::pin(async move { inner.then(&parts, miss).await }))
            }
            First::Forward(miss) => {
                let (inner, body) = (self.inner.clone(), request_body(body));
                let forwarded = async move { inner.forward(&parts, miss, body).await };
                Responding::Waiting(Box::pin(forwarded))
            }
            First::Write(miss) => {
                let (inner, body) = (self.inner.clone(), request_body(body));
                let written = async move { inner.write(&parts, &miss, body).await };
                Responding::Waiting(Box::pin(written))
            }
        }
    }
}

/// The body of a request as origins take it.
pub fn request_body<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Source>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A response that is there already, or one that must be waited for.
pub enum Responding {
    /// It is there; a hit costs no box.
    Done(Option<Response<AssetBody>>),
    /// It must be waited for.
    Waiting(Pin<Box<dyn Future<Output = Response<AssetBody>> + Send>>),
}

impl Future for Responding {
    type Output = Result<Response<AssetBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Done(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            Self::Waiting(waiting) => waiting.as_mut().poll(cx).map(Ok),
        }
    }
}
