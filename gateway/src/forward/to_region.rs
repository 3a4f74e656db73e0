//! Carries a request to another region over a warm HTTP/2 connection.

use std::time::Duration;

use http::{HeaderValue, Response};
use serving::drain::Drain;

use super::body::ResponseBody;
use super::headers::{CARRIED_HOPS, Forwarded, add_via};
use super::outgoing::{Attempt, Outgoing};
use crate::error::Error;
use crate::region::Region;
use crate::upstream::{Client, RetryBudget};

/// Connections to the other regions.
#[derive(Debug)]
pub struct Mesh {
    /// For everything that HTTP/2 can carry.
    pub http2: Client,
    /// For protocol upgrades.
    pub http1: Client,
    /// Until the response's headers.
    pub first_byte: Duration,
    /// Between two frames of a response body.
    pub idle: Duration,
    /// Bounds how many carried requests may be retries.
    pub retry_budget: RetryBudget,
}

/// Sends `request` to `region`. `hops` counts this time, too.
pub async fn to_region(
    mesh: &Mesh,
    region: &Region,
    hops: u8,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
    drain: &Drain,
) -> Result<Response<ResponseBody>, Error> {
    let address = region.address.as_ref().ok_or(Error::NoUsableRegion)?;
    let mut headers = request.headers();
    forwarded.apply(&mut headers);
    add_via(&mut headers, request.parts.version, forwarded.region);
    headers.insert(CARRIED_HOPS, HeaderValue::from(u16::from(hops)));
    let attempt = Attempt {
        client: if request.upgrade.is_some() {
            &mesh.http1
        } else {
            &mesh.http2
        },
        scheme: &address.scheme,
        authority: &address.authority,
        path: request.path(),
        headers,
        first_byte: mesh.first_byte,
        idle: mesh.idle,
    };
    request.send(attempt, drain).await
}
