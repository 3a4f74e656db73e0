//! Sends a request to another region over a warm link, once. Which link, and what if it fails, is for
//! `mesh::carry`.

use http::{HeaderValue, Response};
use serving::drain::Drain;

use super::body::ResponseBody;
use super::headers::{CARRIED_HOPS, CARRIED_TO, Forwarded, add_via};
use super::outgoing::{Attempt, Outgoing};
use crate::error::Error;
use crate::mesh::{Link, LinkTimeouts};

/// One leg of a carried request's way.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// The link it takes.
    pub link: &'a Link,
    /// Its timers.
    pub timeouts: LinkTimeouts,
    /// How often the request has been carried, this time included.
    pub hops: u8,
    /// The region it is for, where that is not the one at the other end.
    pub destination: Option<&'a HeaderValue>,
}

/// Sends `request` over one leg.
pub async fn to_region(
    leg: Leg<'_>,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
    drain: &Drain,
) -> Result<Response<ResponseBody>, Error> {
    let address = leg.link.address.as_ref().ok_or(Error::NoUsableRegion)?;
    let mut headers = request.headers();
    forwarded.apply(&mut headers);
    add_via(&mut headers, request.parts.version, forwarded.region);
    headers.insert(CARRIED_HOPS, HeaderValue::from(u16::from(leg.hops)));
    if let Some(destination) = leg.destination {
        headers.insert(CARRIED_TO, destination.clone());
    }
    let clients = leg.link.clients();
    let attempt = Attempt {
        client: if request.upgrade.is_some() {
            &clients.http1
        } else {
            &clients.http2
        },
        scheme: &address.scheme,
        authority: &address.authority,
        path: request.path(),
        headers,
        first_byte: leg.timeouts.first_byte,
        idle: leg.timeouts.idle,
    };
    request.send(attempt, drain).await
}
