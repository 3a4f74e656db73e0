//! From any address to the one worth looking up, and what an address is when no table knows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::location::Source;

/// The IPv4 address inside an IPv6 one, if the form carries the client's: v4-mapped
/// (RFC 4291 2.5.5.2), 6to4 (RFC 3056) and Teredo (RFC 4380, where the client is stored inverted).
/// Anything else is returned as it is.
pub fn unwrap_embedded_v4(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
    }
}

fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = v6.to_bits();
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => Some(Ipv4Addr::from_bits(bits as u32)),
        [0x2002, ..] => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!(bits as u32))),
        _ => None,
    }
}

/// What to say about an address that is in no table.
pub(crate) fn classify(ip: IpAddr) -> Source {
    match ip {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(ip: Ipv4Addr) -> Source {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64; // carrier-grade NAT, RFC 6598
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    let benchmarking = a == 198 && b & 0xfe == 18;
    if ip.is_loopback() {
        Source::Loopback
    } else if ip.is_private() || ip.is_link_local() || shared {
        Source::Private
    } else if a == 0 || a >= 224 || ip.is_documentation() || benchmarking || protocol_assignments {
        Source::Reserved
    } else {
        Source::Unknown
    }
}

fn classify_v6(ip: Ipv6Addr) -> Source {
    let documentation = matches!(ip.segments(), [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
    let global_unicast = ip.segments()[0] & 0xe000 == 0x2000;
    if ip.is_loopback() {
        Source::Loopback
    } else if ip.is_unique_local() || ip.is_unicast_link_local() {
        Source::Private
    } else if documentation || !global_unicast {
        Source::Reserved
    } else {
        Source::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_v4_client_is_unwrapped() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2002:c000:201:beef::1", "192.0.2.1"),
            // The example of RFC 4380: client 192.0.2.45 behind server 65.54.227.120.
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:1::1", "2001:1::1"),
            ("::192.0.2.1", "::192.0.2.1"),
        ];
        for (given, want) in cases {
            let given: IpAddr = given.parse().expect("a literal");
            let want: IpAddr = want.parse().expect("a literal");
            assert_eq!(unwrap_embedded_v4(given), want, "{given}");
        }
    }

    #[test]
    fn an_address_in_no_table_still_has_a_kind() {
        let cases = [
            (
                Source::Loopback,
                ["127.0.0.1", "127.255.0.1", "::1"].as_slice(),
            ),
            (
                Source::Private,
                &[
                    "10.0.0.1",
                    "172.31.0.1",
                    "192.168.1.1",
                    "169.254.1.1",
                    "100.64.0.1",
                    "fd00::1",
                    "fe80::1",
                ],
            ),
            (
                Source::Reserved,
                &[
                    "0.0.0.0",
                    "192.0.2.1",
                    "198.18.0.1",
                    "224.0.0.1",
                    "255.255.255.255",
                    "::",
                    "ff02::1",
                    "2001:db8::1",
                    "64:ff9b::1",
                ],
            ),
            (
                Source::Unknown,
                &["8.8.8.8", "100.128.0.1", "172.32.0.1", "2a00::1"],
            ),
        ];
        for (want, addresses) in cases {
            for address in addresses {
                assert_eq!(
                    classify(address.parse().expect("a literal")),
                    want,
                    "{address}"
                );
            }
        }
    }
}
