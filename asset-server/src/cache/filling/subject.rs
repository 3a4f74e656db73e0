//! What a fill is about: what its leader asked, where an answer to that belongs, and whether it is kept.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::cache::directives::RequestDirectives;
use crate::cache::key::CacheKey;
use crate::cache::part;
use crate::cache::storability::{Exchange, Storability, judge};
use crate::cache::vary::{Varies, variant_key};
use crate::mount::Mount;
use crate::origin::{Asked, OriginRequest, Want};

/// What a fill is about: the key without its variant part, and what its leader asked.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) mount: Arc<Mount>,
    /// Path, and what else the mount counts.
    pub(crate) base: CacheKey,
    /// What an HTTP origin is asked with.
    pub(crate) asked: Arc<Asked>,
    /// All headers of the request: they select the variant.
    pub(crate) request: Arc<HeaderMap>,
    pub(crate) directives: RequestDirectives,
    /// Whether the request had `Authorization`.
    pub(crate) authorized: bool,
    /// The first byte that the request wants, as far as that is known without the object's length.
    pub(crate) offset: u64,
}

impl Subject {
    /// Under which key an answer belongs.
    pub(crate) fn key_for(&self, status: StatusCode, answer: &HeaderMap) -> CacheKey {
        if status == StatusCode::PARTIAL_CONTENT {
            return part::key_of(&self.base);
        }
        match Varies::of(answer) {
            Varies::By(set) => CacheKey::new(&variant_key(self.base.as_str(), &set, &self.request)),
            Varies::ByNothing | Varies::ByEverything => self.base.clone(),
        }
    }

    /// What the origin is asked, without a condition.
    pub(crate) fn question(&self, want: Want) -> OriginRequest {
        OriginRequest {
            key: self.mount.object_key(&self.base),
            asked: self.asked.clone(),
            want,
            unless: None,
            only_if: None,
        }
    }

    /// Whether an answer may be kept, and on which terms.
    pub(crate) fn judge(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        requested: SystemTime,
        received: SystemTime,
    ) -> Storability {
        let exchange = Exchange {
            authorized: self.authorized,
            request: self.directives,
            status,
            headers,
            requested,
            received,
        };
        judge(&exchange, &self.mount.policy)
    }
}
