//! Methods that no cache answers: they go to the origin, and what they change is invalidated.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{CONTENT_LOCATION, LOCATION};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode, Uri};

use super::{Miss, ask};
use crate::cache::directives::Directives;
use crate::cache::freshness::stated_lifetime;
use crate::cache::key::{self, CacheKey};
use crate::cache::purge::Purge;
use crate::cache::status::CacheStatus;
use crate::error::Error;
use crate::origin::{Forward, OriginObject, RequestBody};
use crate::respond::body::AssetBody;
use crate::server::Inner;
use crate::site;

impl Inner {
    /// Passes a request on as it is.
    pub(crate) async fn forward(
        self: &Arc<Self>,
        request: &Parts,
        miss: Miss,
        body: RequestBody,
    ) -> Response<AssetBody> {
        let mut response = self.passed(request, &miss, body).await;
        self.dress(request, &miss.mount, &mut response);
        response
    }

    async fn passed(
        self: &Arc<Self>,
        request: &Parts,
        miss: &Miss,
        body: RequestBody,
    ) -> Response<AssetBody> {
        let sent = SystemTime::now();
        let forward = Forward {
            method: request.method.clone(),
            key: miss.mount.object_key(&miss.base),
            asked: ask::passed_on(request, &miss.mount),
            body,
        };
        match miss.mount.origin.forward(forward).await {
            Ok(object) => {
                // The client must not hear of success while the old response is still served.
                for key in self.invalidated(request, miss, &object) {
                    self.cache.purge(&Purge::Key(key.as_str().to_owned())).await;
                }
                if request.method == Method::POST && self.answers_get(request, miss, &object) {
                    let moments = (sent, SystemTime::now());
                    let subject = self.subject(request, miss);
                    let kept = self.keep_or_pass(request, miss, &subject, object, moments);
                    return kept.await;
                }
                self.pass_through(request, miss, object, CacheStatus::Method)
            }
            Err(error) => {
                self.problem(request, &Error::Origin(Arc::new(error)), CacheStatus::Error)
            }
        }
    }

    /// RFC 9111 section 4.4: after an unsafe method that did not fail, its target, and what the
    /// response names by `Location` and `Content-Location`.
    fn invalidated(&self, request: &Parts, miss: &Miss, object: &OriginObject) -> Vec<CacheKey> {
        let failed = object.status.is_client_error() || object.status.is_server_error();
        if is_safe(&request.method) || failed {
            return Vec::new();
        }
        let named = [LOCATION, CONTENT_LOCATION].map(|name| self.named(request, object, &name));
        let target = std::iter::once(miss.base.clone());
        target.chain(named.into_iter().flatten()).collect()
    }

    /// RFC 9110 section 9.3.3: a response to POST that says how long it is fresh, and that it is what a
    /// GET of the same URL would get.
    fn answers_get(&self, request: &Parts, miss: &Miss, object: &OriginObject) -> bool {
        let named = self.named(request, object, &CONTENT_LOCATION);
        let directives = Directives::of(&object.headers);
        let stated = stated_lifetime(&object.headers, &directives, false, SystemTime::now());
        object.status == StatusCode::OK && named.as_ref() == Some(&miss.base) && stated.is_some()
    }

    /// The key of a URL in a response, if it is one of ours. Section 4.4: another host's responses are
    /// not for this one to invalidate.
    fn named(&self, request: &Parts, object: &OriginObject, name: &HeaderName) -> Option<CacheKey> {
        let reference = object.headers.get(name)?.to_str().ok()?;
        let uri = resolve(request, reference)?;
        let path = site::normalize(uri.path()).ok()?;
        let mount = self.mounts.find(&path)?;
        let mut parts = http::Request::new(()).into_parts().0;
        parts.headers = request.headers.clone();
        parts.uri = uri.clone();
        Some(CacheKey::new(&key::of_request(&path, &parts, &mount.key)))
    }
}

/// RFC 9110 section 9.2.1.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}

/// RFC 3986 section 5.2, as far as a path and a query go.
fn resolve(request: &Parts, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    if let Some((scheme, rest)) = reference.split_once("://") {
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let own = request
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok());
        let own = request.uri.authority().map(|own| own.as_str()).or(own);
        let path = if path.is_empty() { "/" } else { path };
        return match own {
            Some(own) if own.eq_ignore_ascii_case(authority) => path.parse().ok(),
            _ => None,
        };
    }
    if reference.starts_with("//") {
        return None;
    }
    if reference.starts_with('/') {
        return reference.parse().ok();
    }
    let base = request.uri.path();
    let folder = &base[..=base.rfind('/')?];
    let mut segments: Vec<&str> = folder.trim_end_matches('/').split('/').collect();
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if segments.len() > 1 => {
                segments.pop();
            }
            ".." => {}
            segment => segments.push(segment),
        }
    }
    let path = match path {
        "" => base.to_owned(),
        _ => segments.join("/"),
    };
    match query {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_against_the_request() {
        let request = http::Request::builder()
            .uri("/a/b/c?d")
            .header("host", "edge.test")
            .body(())
            .expect("a request")
            .into_parts()
            .0;
        for (reference, expected) in [
            ("x", Some("/a/b/x")),
            ("../x?y", Some("/a/x?y")),
            ("../../../x", Some("/x")),
            ("/x?y#z", Some("/x?y")),
            ("?y", Some("/a/b/c?y")),
            ("http://edge.test/x", Some("/x")),
            ("https://EDGE.test", Some("/")),
            ("http://other.test/x", None),
            ("//other.test/x", None),
            ("ftp://edge.test/x", None),
        ] {
            let resolved = resolve(&request, reference).map(|uri| uri.to_string());
            assert_eq!(resolved.as_deref(), expected, "{reference}");
        }
    }
}
