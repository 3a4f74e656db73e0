//! A shield: another region's asset servers, asked before the origin, so that an object leaves its bucket
//! once and not once a region.
//!
//! It is a short cut and never a condition: whatever goes wrong with it, the origin is asked. A request
//! carries our name in `CDN-Loop` (RFC 8586), by which the shield knows not to ask another, and the ids of
//! the newest purges that we have applied, by which it knows whether what it holds may be older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};

use super::http_server::HttpOrigin;
use super::{Forward, Origin, OriginAnswer, OriginError, OriginObject, OriginRequest};
use crate::hop::{CDN_LOOP, PURGES};
use crate::purge_log::RecentPurges;

/// How long a shield that could not be reached is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// An origin behind a shield.
pub(super) struct ShieldedOrigin {
    pub(super) shield: HttpOrigin,
    pub(super) origin: Box<dyn Origin>,
    pub(super) hop: Hop,
    /// For the head of the shield's answer. Less than for the whole, so that the origin has time, too.
    pub(super) limit: Duration,
    pub(super) absence: Absence,
    /// Whether the origin answers requests, so that its 404 is an answer to pass on.
    pub(super) is_http: bool,
}

/// What a request to a shield says of us.
pub(crate) struct Hop {
    /// Our name in `CDN-Loop`.
    pub(crate) name: HeaderValue,
    pub(crate) recent: Arc<RecentPurges>,
}

impl Hop {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CDN_LOOP, self.name.clone());
        if let Some(ids) = self.recent.header() {
            headers.insert(PURGES, ids);
        }
        headers
    }
}

/// When the shield was last found to be away.
pub(super) struct Absence {
    made: Instant,
    /// Milliseconds after `made`; 0 for never.
    noticed: AtomicU64,
}

impl Absence {
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            noticed: AtomicU64::new(0),
        }
    }

    fn lasts(&self) -> bool {
        let noticed = self.noticed.load(Ordering::Relaxed);
        noticed != 0 && self.clock().saturating_sub(noticed) < LEFT_ALONE.as_millis() as u64
    }

    fn notice(&self) {
        self.noticed.store(self.clock(), Ordering::Relaxed);
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).map_or(u64::MAX, |now| now.max(1))
    }
}

impl Origin for ShieldedOrigin {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginAnswer, OriginError>> {
        Box::pin(async move {
            if !self.absence.lasts() {
                let asked = self.shield.ask(request.clone(), self.hop.headers());
                match timeout(self.limit, asked).await {
                    // Not well, or what it says of itself (503, 508): no answer about the object.
                    Ok(Ok(OriginAnswer::Found(object))) if object.status.is_server_error() => {
                        tracing::info!(status = %object.status, "the shield has no answer; the origin is asked");
                    }
                    Ok(Ok(OriginAnswer::Found(object)))
                        if object.status == 404 && !self.is_http =>
                    {
                        return Ok(OriginAnswer::NotFound);
                    }
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => {
                        if matches!(error, OriginError::Unreachable(_)) {
                            self.absence.notice();
                        }
                        tracing::info!(%error, "the shield has no answer; the origin is asked");
                    }
                    Err(_) => {
                        self.absence.notice();
                        tracing::info!("the shield does not answer; the origin is asked");
                    }
                }
            }
            self.origin.fetch(request).await
        })
    }

    fn forward(&self, request: Forward) -> BoxFuture<'_, Result<OriginObject, OriginError>> {
        self.origin.forward(request)
    }

    /// The shield's health is its own region's affair.
    fn check(&self) -> BoxFuture<'_, Result<(), OriginError>> {
        self.origin.check()
    }
}
