//! URL prefixes, and the origin behind each.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::header::ETAG;

use crate::cache::entry::Meta;
use crate::cache::freshness::Defaults;
use crate::cache::key::CacheKey;
use crate::config::{Config, Delivery};
use crate::metrics::Metrics;
use crate::origin::{
    self, ConnectError, GuardedOrigin, OriginAnswer, OriginBody, OriginError, OriginRequest, Want,
};

/// One URL prefix.
pub(crate) struct Mount {
    pub(crate) path: String,
    pub(crate) origin: GuardedOrigin,
    pub(crate) defaults: Defaults,
    pub(crate) negative_ttl: Duration,
    pub(crate) delivery: Delivery,
}

/// All of them, longest path first.
pub(crate) struct Mounts(Vec<Arc<Mount>>);

impl Mounts {
    pub(crate) fn connect(
        config: &Config,
        metrics: &Metrics,
    ) -> Result<Self, (String, ConnectError)> {
        let mut mounts = Vec::with_capacity(config.mounts.len());
        for mount in &config.mounts {
            let origin = origin::connect(&mount.origin, &config.origin)
                .map_err(|e| (mount.path.clone(), e))?;
            mounts.push(Arc::new(Mount {
                path: mount.path.clone(),
                origin: GuardedOrigin::new(
                    origin,
                    config.origin.clone(),
                    metrics.origin(&mount.path),
                ),
                defaults: Defaults {
                    ttl: mount.default_ttl,
                    stale_if_error: mount.stale_if_error,
                },
                negative_ttl: mount.negative_ttl,
                delivery: mount.delivery.clone(),
            }));
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

impl Mount {
    /// Key of the object at the origin.
    pub(crate) fn object_key(&self, key: &CacheKey) -> String {
        key.as_str()
            .strip_prefix(&self.path)
            .unwrap_or_default()
            .to_owned()
    }

    /// A part of the very version that `meta` describes. Without a strong tag no version can be told
    /// from another, and two halves of different ones must never meet.
    pub(crate) async fn rest_of(
        &self,
        key: &CacheKey,
        meta: &Meta,
        range: Range<u64>,
    ) -> Result<OriginBody, OriginError> {
        let etag = meta.validators.strong_etag().ok_or(OriginError::Changed)?;
        let request = OriginRequest {
            key: self.object_key(key),
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
