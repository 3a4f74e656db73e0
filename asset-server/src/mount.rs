//! URL prefixes, and the origin behind each.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::ETAG;

use crate::cache::entry::Meta;
use crate::cache::key::{self, CacheKey};
use crate::cache::slice::Slicing;
use crate::cache::storability::Policy;
use crate::config::{self, Config, Delivery, KeyPolicy, Methods, RequestDirectiveUse, SetCookie};
use crate::metrics::Metrics;
use crate::origin::{
    Asked, ConnectError, Failover, Hop, OriginAnswer, OriginBody, OriginError, OriginRequest,
    Stores, Want,
};
use crate::purge_log::RecentPurges;
use crate::store::{DirectoryStore, ObjectStore, S3Store};

/// One URL prefix.
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) origin: Failover,
    /// Whether the origin answers requests, rather than having objects.
    pub(crate) is_http: bool,
    pub(crate) key: KeyPolicy,
    pub(crate) methods: Methods,
    /// Where authorised writes go, if there may be any.
    pub(crate) writes: Option<Arc<Writes>>,
    pub(crate) obeys_requests: bool,
    /// How its large objects are sliced, if they are.
    pub(crate) slicing: Option<Slicing>,
    pub(crate) policy: Policy,
    pub(crate) delivery: Delivery,
    /// The same without its shield, for other caches' requests.
    direct: Option<Arc<Mount>>,
}

/// Writing to a mount's first origin.
pub(crate) struct Writes {
    pub(crate) settings: config::Writes,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same, if it is an S3 store: clients' own uploads in parts go on to it.
    pub(crate) s3: Option<Arc<S3Store>>,
    /// Longest pause between two pieces of a body.
    pub(crate) idle_timeout: Duration,
}

impl Writes {
    fn connect(mount: &config::Mount, config: &Config) -> Result<Option<Arc<Self>>, ConnectError> {
        let Some(settings) = mount.writes.clone() else {
            return Ok(None);
        };
        let (store, s3): (Arc<dyn ObjectStore>, _) = match &mount.origin {
            config::Origin::S3(s3) => {
                let s3 = Arc::new(S3Store::connect(s3, &config.origin)?);
                (s3.clone(), Some(s3))
            }
            config::Origin::Directory { path } => {
                (Arc::new(DirectoryStore::new(path.clone())), None)
            }
            // The configuration has ruled this out.
            config::Origin::Http { .. } => return Ok(None),
        };
        Ok(Some(Arc::new(Self {
            settings,
            store,
            s3,
            idle_timeout: config.origin.idle_timeout,
        })))
    }
}

/// All of them, longest path first.
pub(crate) struct Mounts(Vec<Arc<Mount>>);

impl Mounts {
    pub(crate) fn connect(
        config: &Config,
        metrics: &Metrics,
        recent: &Arc<RecentPurges>,
    ) -> Result<Self, (String, ConnectError)> {
        let mut stores = Stores::new(&config.origin);
        let mut mounts = Vec::with_capacity(config.mounts.len());
        for mount in &config.mounts {
            let writes = Writes::connect(mount, config).map_err(|e| (mount.path.clone(), e))?;
            let mut connect = |hop: Option<Hop>, direct| {
                let origin = Failover::connect(mount, &config.origin, &mut stores, metrics, hop)
                    .map_err(|e| (mount.path.clone(), e))?;
                Ok(Arc::new(Mount {
                    path: mount.path.clone(),
                    origin,
                    is_http: matches!(mount.origin, config::Origin::Http { .. }),
                    key: mount.key.clone(),
                    methods: mount.methods,
                    writes: writes.clone(),
                    obeys_requests: mount.request_directives == RequestDirectiveUse::Obey,
                    slicing: mount.slices.then_some(config.slices),
                    policy: policy(mount),
                    delivery: mount.delivery.clone(),
                    direct,
                }))
            };
            let mut found = connect(None, None)?;
            if mount.shield.is_some() {
                let name = HeaderValue::try_from(config.cache_name());
                let hop = Hop {
                    name: name.unwrap_or(HeaderValue::from_static("asset-server")),
                    recent: recent.clone(),
                };
                found = connect(Some(hop), Some(found))?;
            }
            mounts.push(found);
        }
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
        Ok(Self(mounts))
    }

    /// The mount of a normalised path.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Mount>> {
        self.0.iter().find(|mount| path.starts_with(&mount.path))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.0.iter()
    }
}

fn policy(mount: &config::Mount) -> Policy {
    Policy {
        default_ttl: mount.default_ttl,
        negative_ttl: mount.negative_ttl,
        stale_while_revalidate: mount.stale_while_revalidate,
        stale_if_error: mount.stale_if_error,
        targeted_fields: mount.targeted_fields.clone(),
        store_set_cookie: mount.set_cookie == SetCookie::Store,
    }
}

impl Mount {
    /// The mount as another cache may use it: a shield is never asked on behalf of a cache.
    pub(crate) fn for_another_cache(self: &Arc<Self>) -> &Arc<Self> {
        self.direct.as_ref().unwrap_or(self)
    }

    /// Key of the object at the origin.
    pub(crate) fn object_key(&self, key: &CacheKey) -> String {
        let path = key.path().strip_prefix(&self.path).unwrap_or_default();
        match key::extension_of(key.as_str()) {
            Some(extension) => format!("{path}{extension}"),
            None => path.to_owned(),
        }
    }

    /// A part of the very version that `meta` describes. Without a strong tag no version can be told
    /// from another, and two halves of different ones must never meet.
    pub(crate) async fn rest_of(
        &self,
        key: &CacheKey,
        asked: &Arc<Asked>,
        meta: &Meta,
        range: Range<u64>,
    ) -> Result<OriginBody, OriginError> {
        let etag = meta.validators.strong_etag().ok_or(OriginError::Changed)?;
        let request = OriginRequest {
            key: self.object_key(key),
            asked: asked.clone(),
            want: Want::Range(range.clone()),
            unless: None,
            only_if: Some(etag.clone()),
        };
        match self.origin.fetch(request).await? {
            OriginAnswer::Found(object) if object.headers.get(ETAG) != Some(etag) => {
                Err(OriginError::Changed)
            }
            OriginAnswer::Found(object)
                if object.length.is_some_and(|n| n != range.end - range.start) =>
            {
                Err(OriginError::Malformed("another length than was asked for"))
            }
            OriginAnswer::Found(object) => Ok(object.body),
            OriginAnswer::NotModified(_) | OriginAnswer::NotFound => Err(OriginError::Changed),
        }
    }
}
