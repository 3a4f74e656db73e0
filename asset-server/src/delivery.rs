//! Around the path of a request: what a mount asks of requests and adds to responses besides caching.
//!
//! `request_path` calls [`Inner::admit`] when it knows the mount and before it looks anything up,
//! [`Inner::visit`] instead of its own miss for mounts that hold a site, and [`Inner::dress`] on every
//! response of a mount. Each decision is elsewhere: `signed_url`, `site`, `respond::cors`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, RANGE, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::cache::status::CacheStatus;
use crate::cache::surrogate::SURROGATE_KEY;
use crate::error::Error;
use crate::hop;
use crate::mount::Mount;
use crate::request_path::Miss;
use crate::respond::body::AssetBody;
use crate::respond::cors::{Decision, Preflight};
use crate::respond::disposition;
use crate::server::Inner;
use crate::signed_url::{self, Claim, Refusal};
use crate::site::{self, Site, Then};

/// Address of the client, as an extension of a request, put there by whoever accepted the connection or
/// knows which proxies to believe. Without it, URLs that are signed for a network are refused.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl Inner {
    /// Whether a request goes on. Otherwise the response: to a preflight, or a refusal.
    pub(crate) fn admit(
        &self,
        request: &Parts,
        mount: &Mount,
        path: &str,
    ) -> Option<Response<AssetBody>> {
        let delivery = &mount.delivery;
        if let Some(policy) = &delivery.cors
            && let Decision::Preflight(preflight) = policy.decide(&request.method, &request.headers)
        {
            // Before the signature: browsers send none with a preflight, and it gives nothing away.
            let mut response = Response::new(AssetBody::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = policy.answer_preflight(preflight);
            if preflight == Preflight::Refused {
                tracing::debug!(mount = mount.path, "a cross-origin preflight is refused");
            }
            return Some(response);
        }
        if delivery.private
            && let Err(refusal) = self.authorise(request, path)
        {
            let mut response = self.problem(request, &Error::Refused(refusal), CacheStatus::Error);
            self.dress(request, mount, &mut response);
            return Some(response);
        }
        None
    }

    fn authorise(&self, request: &Parts, path: &str) -> Result<(), Refusal> {
        let claim = Claim {
            method: &request.method,
            path,
            query: request.uri.query(),
            headers: &request.headers,
            client: request
                .extensions
                .get()
                .map(|ClientAddress(address)| *address),
        };
        let judged = match &self.signing {
            Some(keys) => signed_url::verify(keys, &claim, SystemTime::now()),
            None => Err(Refusal::UnknownKey), // the configuration has ruled this out
        };
        self.cache.metrics.signature(judged.as_ref().err().copied());
        judged.map(drop)
    }

    /// Answers from a site: the first of the objects that may stand for the path. `path` is what
    /// [`site::normalize`] made of the request's.
    pub(crate) async fn visit(
        self: &Arc<Self>,
        request: &Parts,
        mount: &Arc<Mount>,
        site: &Site,
        path: &str,
    ) -> Response<AssetBody> {
        let navigates = site::is_navigation(&request.headers);
        let mut missing = None;
        for attempt in site::resolve(site, &mount.path, path, navigates) {
            let miss = Miss::of(mount, &attempt.key, request);
            match attempt.then {
                Then::Serve(StatusCode::OK) => {
                    let response = self.miss(request, &miss).await;
                    if response.status() != StatusCode::NOT_FOUND {
                        return response;
                    }
                    missing.get_or_insert(response);
                }
                Then::Serve(status) => {
                    let response = self.miss(&unconditional(request), &miss).await;
                    if response.status() == StatusCode::OK {
                        return stand_in(response, status, mount);
                    }
                }
                Then::Redirect => {
                    // As GET, so that the answer is remembered; its reader is about to ask for it anyway.
                    let mut question = unconditional(request);
                    question.method = Method::GET;
                    if self.miss(&question, &miss).await.status() == StatusCode::OK {
                        return redirect(path, request.uri.query());
                    }
                }
            }
        }
        missing.unwrap_or_else(|| self.problem(request, &Error::NotFound, CacheStatus::Error))
    }

    /// Adds what the mount's delivery adds to every response, errors too.
    pub(crate) fn dress(&self, request: &Parts, mount: &Mount, response: &mut Response<AssetBody>) {
        let delivery = &mount.delivery;
        let sent = response.status().is_success();
        let headers = response.headers_mut();
        if !hop::is_asset_server(&request.headers) {
            headers.remove(SURROGATE_KEY);
        }
        if delivery.private {
            signed_url::keep_private(headers);
        }
        if delivery.download && sent && request.uri.query().is_some_and(disposition::is_download) {
            let name = request.uri.path();
            let name = crate::cache::key::normalize(name).unwrap_or_else(|_| name.into());
            headers.insert(CONTENT_DISPOSITION, disposition::attachment(&name));
        }
        if delivery.site.as_ref().is_some_and(site::varies_by_accept) {
            headers.append(VARY, HeaderValue::from_static("accept"));
        }
        if let Some(policy) = &delivery.cors {
            let decision = policy.decide(&request.method, &request.headers);
            policy.apply(decision, headers);
        }
    }
}

/// The request for another object than the one that its conditions and ranges are about.
fn unconditional(request: &Parts) -> Parts {
    let mut request = request.clone();
    for name in [
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        RANGE,
    ] {
        request.headers.remove(name);
    }
    request
}

/// An object that stands in for one that is not there, for as long as that is remembered.
fn stand_in(
    mut response: Response<AssetBody>,
    status: StatusCode,
    mount: &Mount,
) -> Response<AssetBody> {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for name in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
        headers.remove(name);
    }
    let control = format!("max-age={}", mount.policy.negative_ttl.as_secs());
    let control = HeaderValue::try_from(control).unwrap_or(HeaderValue::from_static("no-store"));
    headers.insert(CACHE_CONTROL, control);
    headers.remove(http::header::AGE);
    headers.remove(http::header::EXPIRES);
    response
}

fn redirect(path: &str, query: Option<&str>) -> Response<AssetBody> {
    let mut response = Response::new(AssetBody::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = site::redirect_to_directory(path, query);
    response.headers_mut().insert(LOCATION, location);
    // A directory may be gone tomorrow, and browsers keep a 301 for ever.
    let control = HeaderValue::from_static("max-age=60");
    response.headers_mut().insert(CACHE_CONTROL, control);
    response
}
