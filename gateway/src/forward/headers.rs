//! Which headers cross the gateway, and what it adds.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CONNECTION, FORWARDED, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Version};

use crate::client_addr::X_FORWARDED_FOR;
use crate::request_id::REQUEST_ID;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// How often a request has been carried between regions. Believed from regions only.
pub const CARRIED_HOPS: HeaderName = HeaderName::from_static("x-edge-hops");

/// The region that a carried request is for, where that is not the one that gets it. Believed from
/// regions with a certificate only.
pub const CARRIED_TO: HeaderName = HeaderName::from_static("x-edge-destination");

/// In a third region's answer: it could not pass the request on. `unsent` or `broken`.
pub const RELAY_FAILED: HeaderName = HeaderName::from_static("x-edge-relay-failed");

/// Meant for one connection only (RFC 9110 section 7.6.1), whether `Connection` lists them or not.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What the next hop is told about the request it gets.
#[derive(Clone, Debug)]
pub struct Forwarded<'a> {
    /// The region that the request leaves.
    pub region: &'a str,
    /// Who the client is.
    pub client: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub tls: bool,
    /// The host that the client asked for.
    pub host: HeaderValue,
    /// The request's id.
    pub id: HeaderValue,
}

impl Forwarded<'_> {
    /// Replaces what the client said about itself with what we know.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let proto = if self.tls { "https" } else { "http" };
        let mut forwarded = String::with_capacity(64);
        let _ = match self.client {
            IpAddr::V4(ip) => write!(forwarded, "for={ip};proto={proto}"),
            IpAddr::V6(ip) => write!(forwarded, "for=\"[{ip}]\";proto={proto}"),
        };
        set(headers, FORWARDED, &forwarded);
        set(headers, X_FORWARDED_FOR, &self.client.to_string());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        headers.insert(X_FORWARDED_HOST, self.host.clone());
        headers.insert(REQUEST_ID, self.id.clone());
    }

    /// Whether the request has been through this region before, as `Via` tells.
    pub fn has_passed(&self, headers: &HeaderMap) -> bool {
        let hops = headers
            .get_all(VIA)
            .iter()
            .filter_map(|via| via.to_str().ok())
            .flat_map(|via| via.split(','));
        hops.filter_map(|hop| hop.split_whitespace().nth(1))
            .any(|by| by == self.region)
    }

    /// The host a region that carried the request here was asked for.
    pub fn carried_host(headers: &HeaderMap) -> Option<&HeaderValue> {
        headers.get(X_FORWARDED_HOST)
    }

    /// Whether the client's connection to a region that carried the request here was encrypted.
    pub fn carried_tls(headers: &HeaderMap) -> bool {
        headers
            .get(X_FORWARDED_PROTO)
            .is_some_and(|proto| proto == "https")
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Takes off what belongs to the connection the message came on. `TE: trailers` stays, which gRPC needs.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&listed).filter(|name| **name != TE) {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
}

/// Adds us to `Via`, RFC 9110 section 7.6.3.
pub(super) fn add_via(headers: &mut HeaderMap, version: Version, region: &str) {
    let version = match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    if let Ok(value) = HeaderValue::try_from(format!("{version} {region}")) {
        headers.append(VIA, value);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{Forwarded, strip_hop_by_hop};

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Custom"),
            ("x-custom", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("cookie", "kept"),
        ] {
            headers.append(
                header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(header::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cookie", "te"]);
    }

    #[test]
    fn what_a_client_says_about_itself_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        let forwarded = Forwarded {
            region: "ams3",
            client: "2001:db8::1".parse().unwrap(),
            tls: true,
            host: HeaderValue::from_static("edge.test"),
            id: HeaderValue::from_static("abc"),
        };
        forwarded.apply(&mut headers);
        let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(all, ["2001:db8::1"]);
        assert_eq!(headers["forwarded"], "for=\"[2001:db8::1]\";proto=https");
        assert_eq!(headers["x-forwarded-host"], "edge.test");
    }
}
