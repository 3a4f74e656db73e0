//! Completes a stored part with the rest from the origin (RFC 9111 section 3.4).

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use http::header::CONTENT_RANGE;

use super::Filling;
use super::receive::Keep;
use crate::cache::entry::{Content, Meta};
use crate::cache::fill::{Head, Intake};
use crate::cache::part::{self, ContentRange};
use crate::cache::status::CacheStatus;
use crate::cache::storability::{Storability, withheld_fields};
use crate::origin::{OriginAnswer, OriginRequest, Want};

impl Filling {
    /// If the first bytes are stored, with a strong tag that tells their version, only the others are
    /// asked for. Whether that was all; if not, nothing has been said to anyone yet.
    pub(super) async fn complete(&mut self) -> bool {
        let Some(stored) = self
            .cache
            .memory
            .get(part::key_of(&self.subject.base).as_str())
        else {
            return false;
        };
        let (Some(start), Some(etag), Content::Memory(chunks)) = (
            ContentRange::of(&stored.meta.headers),
            stored.meta.validators.strong_etag(),
            &stored.content,
        ) else {
            return false;
        };
        if start.bytes.start != 0 || !self.cache.memory.admits(start.total) {
            return false;
        }
        let Some(memory) = self.cache.reserve_memory(start.total) else {
            return false;
        };
        let requested = SystemTime::now();
        let rest = OriginRequest {
            only_if: Some(etag.clone()),
            ..self
                .subject
                .question(Want::Range(start.bytes.end..start.total))
        };
        let Ok(OriginAnswer::Found(rest)) = self.subject.mount.origin.fetch(rest).await else {
            return false; // it has changed, or the origin has no ranges: ask for the whole
        };
        let received = SystemTime::now();
        let continues = rest.status == StatusCode::PARTIAL_CONTENT
            && rest.headers.get(http::header::ETAG) == Some(etag)
            && ContentRange::of(&rest.headers).is_some_and(|part| {
                part.total == start.total && part.bytes == (start.bytes.end..start.total)
            });
        let verdict = self
            .subject
            .judge(rest.status, &rest.headers, requested, received);
        let (true, Storability::Store(freshness)) = (continues, verdict) else {
            return false;
        };
        let mut headers = stored.meta.headers.clone();
        headers.remove(CONTENT_RANGE);
        let withheld = withheld_fields(&rest.headers, &self.subject.mount.policy);
        crate::cache::stored_headers::update(&mut headers, &rest.headers, &withheld);
        headers.remove(CONTENT_RANGE);
        let total = Some(start.total);
        let meta = Meta::of_response(StatusCode::OK, &headers, &[], None, total, freshness);
        let meta = Arc::new(meta);
        self.fill.announce(Head::Object {
            key: self.key.clone(),
            meta: meta.clone(),
            status: CacheStatus::Partial,
            withheld: Arc::default(),
        });
        let mut intake = Intake::new(&self.fill);
        for chunk in chunks.iter() {
            let _ = intake.push(chunk.clone());
        }
        if self.take_in(&mut intake, rest.body, total).await {
            self.keep_in_memory(&mut intake, meta, Keep::OnDiskToo)
                .await;
        }
        drop(memory);
        true
    }
}
