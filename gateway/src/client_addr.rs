//! Who the client is: the one address that logs, limits and steering believe.
//!
//! A hop's word about who came before it counts only while the hop itself is trusted, so the list is
//! read from the right and stops at the first address that nobody trusts. `Forwarded` (RFC 7239) wins
//! over `X-Forwarded-For` where both are there.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

/// The older of the two headers.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks whose word about the client is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// These networks and those of `others`.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self([&self.0[..], &others.0].concat())
    }

    /// Whether `ip` is in one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The client of a request that came from `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        let from = if headers.contains_key(FORWARDED) {
            FORWARDED
        } else {
            X_FORWARDED_FOR
        };
        let parse = if from == FORWARDED {
            forwarded_for
        } else {
            address
        };
        for value in headers.get_all(&from).iter().rev() {
            let Ok(value) = value.to_str() else {
                return client;
            };
            for hop in value.rsplit(',') {
                // A hop that hides or garbles its peer ends what can be known.
                let Some(ip) = parse(hop.trim()) else {
                    return client;
                };
                client = ip;
                if !self.contains(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// The client of a request that another region has carried here, as that region tells.
pub fn carried_client(headers: &HeaderMap) -> Option<IpAddr> {
    address(headers.get(X_FORWARDED_FOR)?.to_str().ok()?)
}

/// The `for` parameter of one element of `Forwarded`, RFC 7239 section 4.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| address(value.trim().trim_matches('"')))?
    })
}

/// An address as the headers write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::{HeaderMap, HeaderValue, header::FORWARDED};
    use proptest::prelude::*;

    use super::{TrustedProxies, X_FORWARDED_FOR};

    fn client(peer: &str, headers: &[(&str, &str)]) -> IpAddr {
        let trusted = TrustedProxies::new(vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = if *name == "forwarded" {
                FORWARDED
            } else {
                X_FORWARDED_FOR
            };
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &map)
    }

    #[test]
    fn the_client_is_the_last_address_that_nobody_trusts() {
        for (peer, headers, expected) in [
            ("192.0.2.9", &[][..], "192.0.2.9"),
            ("192.0.2.9", &[("xff", "198.51.100.1")], "192.0.2.9"),
            ("127.0.0.1", &[], "127.0.0.1"),
            (
                "::ffff:127.0.0.1",
                &[("xff", "198.51.100.1")],
                "198.51.100.1",
            ),
            ("127.0.0.1", &[("xff", "198.51.100.1")], "198.51.100.1"),
            (
                "127.0.0.1",
                &[("xff", "203.0.113.1, 198.51.100.1, 10.1.1.1")],
                "198.51.100.1",
            ),
            (
                "127.0.0.1",
                &[("xff", "203.0.113.1"), ("xff", "198.51.100.1")],
                "198.51.100.1",
            ),
            ("127.0.0.1", &[("xff", "198.51.100.1:4711")], "198.51.100.1"),
            ("127.0.0.1", &[("xff", "[2001:db8::1]:80")], "2001:db8::1"),
            (
                "127.0.0.1",
                &[("xff", "198.51.100.1, nonsense")],
                "127.0.0.1",
            ),
            ("127.0.0.1", &[("xff", "10.1.1.1")], "10.1.1.1"),
            (
                "127.0.0.1",
                &[("forwarded", "for=198.51.100.1;proto=https")],
                "198.51.100.1",
            ),
            (
                "127.0.0.1",
                &[("forwarded", "By=x; FOR=\"[2001:db8::1]:80\"")],
                "2001:db8::1",
            ),
            ("127.0.0.1", &[("forwarded", "for=_hidden")], "127.0.0.1"),
            (
                "127.0.0.1",
                &[("forwarded", "for=198.51.100.1"), ("xff", "203.0.113.1")],
                "198.51.100.1",
            ),
        ] {
            assert_eq!(
                client(peer, headers),
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {headers:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,80}") {
            client("127.0.0.1", &[("xff", &value)]);
            client("127.0.0.1", &[("forwarded", &value)]);
        }
    }
}
