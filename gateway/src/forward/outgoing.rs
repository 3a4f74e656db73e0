//! A request that may be sent on, more than once if an attempt fails before it was read from.

use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use serving::drain::Drain;

use super::body::{IdleBody, RequestBody, ResponseBody, Source};
use super::headers::{CARRIED_HOPS, CARRIED_TO, RELAY_FAILED, strip_hop_by_hop};
use super::upgrade::Upgrade;
use crate::error::{Error, Retry};
use crate::upstream::Client;

/// A client's request, taken apart so that it can be sent again.
#[derive(Debug)]
pub struct Outgoing {
    /// Everything but the body.
    pub parts: Parts,
    pub(super) upgrade: Option<Upgrade>,
    body: Source,
}

/// Where one attempt goes, and as what.
pub(super) struct Attempt<'a> {
    pub(super) client: &'a Client,
    pub(super) scheme: &'a Scheme,
    pub(super) authority: &'a Authority,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) first_byte: Duration,
    pub(super) idle: Duration,
}

impl Outgoing {
    /// Takes a request apart.
    pub fn new(mut request: Request<Incoming>) -> Self {
        let upgrade = Upgrade::asked_for(&mut request);
        let (parts, body) = request.into_parts();
        Self {
            parts,
            upgrade,
            body: Source::new(body),
        }
    }

    /// The body, for whoever passes it on without a second try; empty if it has been taken.
    pub fn body_once(&self) -> asset_server::RequestBody {
        match self.body.attempt() {
            Some((body, _)) => asset_server::request_body(body),
            None => asset_server::request_body(http_body_util::Empty::new()),
        }
    }

    /// Whether a body comes with it.
    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// Whether it asks for another protocol.
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// The body, for whoever reads it here; empty if it has been taken.
    pub(crate) fn own_body(&self) -> RequestBody {
        self.body
            .attempt()
            .map_or(RequestBody::Empty, |(body, _)| body)
    }

    /// Path and query as asked for.
    pub(super) fn path(&self) -> PathAndQuery {
        self.parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
    }

    /// The headers that go on, before anything is added.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = self.parts.headers.clone();
        strip_hop_by_hop(&mut headers);
        for ours in [CARRIED_HOPS, CARRIED_TO, RELAY_FAILED] {
            headers.remove(ours);
        }
        if let Some(upgrade) = &self.upgrade {
            upgrade.ask(&mut headers);
        }
        headers
    }

    /// Whether the request may be sent once more after `error`, RFC 9110 section 9.2.2.
    pub fn may_retry(&self, error: &Error) -> bool {
        self.body.is_whole()
            && match error.verdict().retry {
                Retry::Always => true,
                Retry::IfIdempotent => self.parts.method.is_idempotent(),
                Retry::No => false,
            }
    }

    /// Sends the request to one address and waits for the response's headers.
    pub(super) async fn send(
        &mut self,
        to: Attempt<'_>,
        drain: &Drain,
    ) -> Result<Response<ResponseBody>, Error> {
        let (body, sent) = self.body.attempt().ok_or(Error::BodySpent)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.headers_mut() = to.headers;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(to.scheme.clone());
        uri.authority = Some(to.authority.clone());
        uri.path_and_query = Some(to.path);
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Error::InvalidHost)?;

        // The clock for the first byte starts when the request is out, however long an upload takes.
        let too_late = async {
            sent.cancelled().await;
            tokio::time::sleep(to.first_byte).await;
        };
        let answer = tokio::select! {
            answer = to.client.request(request) => answer,
            () = too_late => return Err(Error::FirstByteTimeout { after: to.first_byte }),
        };
        let response = answer.map_err(|error| {
            if error.is_connect() {
                Error::Connect(error)
            } else {
                Error::Broken(error)
            }
        })?;
        let response = match self.upgrade.take() {
            Some(upgrade) => upgrade.join(response, drain)?,
            None => response,
        };
        let (mut parts, body) = response.into_parts();
        if parts.status != http::StatusCode::SWITCHING_PROTOCOLS {
            strip_hop_by_hop(&mut parts.headers);
        }
        Ok(Response::from_parts(
            parts,
            ResponseBody::Forwarded(IdleBody::new(body, to.idle)),
        ))
    }
}
