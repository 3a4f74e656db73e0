//! The network a client is in, as far as steering tells clients apart: /24, or /48 for IPv6.
//!
//! Neighbours share a path, so they share what is learnt of it; and nothing finer is kept of anyone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Marks a /24; what is below is a /48's upper bits.
const V4: u64 = 1 << 48;

/// A /24 or a /48 in one word. IPv6 sorts before IPv4, each by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(u64);

impl Prefix {
    /// The network of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self(V4 | u64::from(v4.to_bits() >> 8)),
            // The upper 48 of 128 bits fit.
            IpAddr::V6(v6) => Self((v6.to_bits() >> 80) as u64),
        }
    }

    /// The word it is passed on as.
    pub fn word(self) -> u64 {
        self.0
    }

    /// Its first address.
    pub fn network(self) -> IpAddr {
        match self.0 & V4 {
            0 => Ipv6Addr::from_bits(u128::from(self.0) << 80).into(),
            _ => Ipv4Addr::from_bits((self.0 as u32) << 8).into(),
        }
    }

    /// First and last prefix of the addresses in `net`.
    pub fn range(net: IpNet) -> (Self, Self) {
        (Self::of(net.network()), Self::of(net.broadcast()))
    }
}

impl TryFrom<u64> for Prefix {
    type Error = NotAPrefix;

    fn try_from(word: u64) -> Result<Self, NotAPrefix> {
        let is_v6 = word < V4;
        let is_v4 = (V4..V4 + (1 << 24)).contains(&word);
        (is_v4 || is_v6).then_some(Self(word)).ok_or(NotAPrefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network() {
            IpAddr::V4(v4) => write!(f, "{v4}/24"),
            IpAddr::V6(v6) => write!(f, "{v6}/48"),
        }
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let net: IpNet = text.parse().map_err(|_| NotAPrefix)?;
        let length = if net.addr().is_ipv4() { 24 } else { 48 };
        let is_one = net.prefix_len() == length && net.addr() == net.network();
        is_one.then(|| Self::of(net.addr())).ok_or(NotAPrefix)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What was given is no such network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is a /24, or a /48 of IPv6, such as 192.0.2.0/24")]
pub struct NotAPrefix;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::{NotAPrefix, Prefix};

    #[test]
    fn neighbours_share_a_prefix_and_it_reads_as_a_network() {
        let of = |ip: &str| Prefix::of(ip.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.255"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("192.0.2.77").to_string(), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2::3").to_string(), "2001:db8:1::/48");
        for wrong in ["192.0.2.0/25", "192.0.2.1/24", "2001:db8::/32", "x", ""] {
            assert_eq!(wrong.parse::<Prefix>(), Err(NotAPrefix), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_prefix_survives_words_and_text(ip: IpAddr, word: u64) {
            let prefix = Prefix::of(ip);
            prop_assert_eq!(Prefix::try_from(prefix.word()), Ok(prefix));
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
            if let Ok(any) = Prefix::try_from(word) {
                prop_assert_eq!(Prefix::of(any.network()), any);
            }
        }
    }
}
