//! Purges between regions over the links that prove who they are: no addresses and no token to hand out.
//!
//! The asset server decides what is purged and waits for the answers; this only carries the question to a
//! region's gateway, and there to the asset server in it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use asset_server::PostToRegion;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;
use tower_service::Service as _;

use crate::forward::{Outgoing, RequestBody, ResponseBody};
use crate::gateway::{Assets, Edge};
use crate::region::RegionIndex;

/// Where gateways tell each other of purges.
pub(crate) const PATH: &str = "/.well-known/edge/purge";

/// Longest list of purges, and longest report, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The other regions whose links are mutual, and how they are told.
pub(crate) fn telling(edge: &Arc<Edge>) -> (Vec<String>, PostToRegion) {
    let peers = edge.regions.peers();
    let mutual = peers.filter(|(index, _)| edge.mesh.of(*index).mutual);
    let regions = mutual.map(|(_, region)| region.name.to_string()).collect();
    let edge = Arc::downgrade(edge);
    let post: PostToRegion = Arc::new(move |region, query, body| {
        let (edge, region) = (edge.clone(), region.to_owned());
        Box::pin(async move { post(edge, &region, &query, body).await })
    });
    (regions, post)
}

async fn post(
    edge: Weak<Edge>,
    region: &str,
    query: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let edge = edge.upgrade().ok_or("this gateway ends")?;
    let index = edge.regions.find(region).ok_or("there is no such region")?;
    let link = edge.mesh.of(index);
    let address = link.address.as_ref().ok_or("it has no address")?;
    let uri = Uri::builder()
        .scheme(address.scheme.clone())
        .authority(address.authority.clone())
        .path_and_query(format!("{PATH}{query}"))
        .build()
        .map_err(|error| error.to_string())?;
    let mut request = Request::new(RequestBody::Full(Some(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let response = link.clients().http2.request(request).await;
    let response = response.map_err(|_| "it cannot be reached")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES)
        .collect()
        .await;
    let body = body.map_err(|_| "its answer broke off")?;
    Ok((status, body.to_bytes()))
}

/// Answers another region: purges what this region's asset server has. `from` is whom its certificate names.
pub(crate) async fn answer_purge(
    edge: &Edge,
    from: RegionIndex,
    request: &Outgoing,
) -> Response<ResponseBody> {
    let status_alone = |status| {
        let mut response = Response::new(ResponseBody::Full(None));
        *response.status_mut() = status;
        response
    };
    let Some(Assets::Embedded(server)) = &edge.assets else {
        return status_alone(StatusCode::NOT_IMPLEMENTED);
    };
    let body = Limited::new(request.own_body(), MAX_BYTES).collect();
    let Ok(Ok(body)) = timeout(TIMEOUT, body).await else {
        return status_alone(StatusCode::BAD_REQUEST);
    };
    let query = request.parts.uri.query().unwrap_or_default();
    let asked = Request::post(format!("/api/v1/purge?{query}"))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Body::from(body.to_bytes()));
    let Ok(asked) = asked else {
        return status_alone(StatusCode::BAD_REQUEST);
    };
    let from = &edge.regions.of(from).name;
    tracing::debug!(region = %from, "another region tells of a purge");
    let answered = server.purge_router().call(asked).await;
    let Ok(response) = answered;
    let (parts, body) = response.into_parts();
    let Ok(body) = Limited::new(body, MAX_BYTES).collect().await else {
        return status_alone(StatusCode::INTERNAL_SERVER_ERROR);
    };
    Response::from_parts(parts, ResponseBody::from(body.to_bytes()))
}
