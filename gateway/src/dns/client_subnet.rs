//! The client's network that a resolver passes on, and for whom an answer holds (EDNS client subnet,
//! RFC 7871).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::writer::{Full, Writer};

/// A network, as a resolver gives it. Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    family: u16,
    /// How many bits of the address are given.
    pub source_len: u8,
    address: [u8; 16],
}

impl ClientSubnet {
    pub(super) const CODE: u16 = 8;

    /// A network; what lies behind the prefix is cut off.
    pub fn new(address: IpAddr, source_len: u8) -> Self {
        let mut bytes = [0; 16];
        let (family, width) = match address {
            IpAddr::V4(v4) => {
                bytes[..4].copy_from_slice(&v4.octets());
                (1, 32)
            }
            IpAddr::V6(v6) => {
                bytes = v6.octets();
                (2, 128)
            }
        };
        let source_len = source_len.min(width);
        let kept = u128::MAX
            .checked_shl(128 - u32::from(source_len))
            .unwrap_or(0);
        Self {
            family,
            source_len,
            address: (u128::from_be_bytes(bytes) & kept).to_be_bytes(),
        }
    }

    /// Reads the option. `None` for what RFC 7871 6 does not allow: a family that is not an IP version, a
    /// prefix longer than its address, too few or too many bytes, bits behind the prefix, a scope in a query.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&[f0, f1, source_len, scope_len], given) = data.split_first_chunk()?;
        let family = u16::from_be_bytes([f0, f1]);
        let width = match family {
            // "No family" is how some clients say that they give nothing.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        let bytes = usize::from(source_len).div_ceil(8);
        if source_len > width || given.len() != bytes || scope_len != 0 {
            return None;
        }
        let mut address = [0; 16];
        address[..bytes].copy_from_slice(given);
        let behind = u128::MAX.checked_shr(u32::from(source_len)).unwrap_or(0);
        (u128::from_be_bytes(address) & behind == 0).then_some(Self {
            family,
            source_len,
            address,
        })
    }

    /// The first address of the network. `None` where the client does not want to be known (RFC 7871 7.1.2).
    pub fn address(&self) -> Option<IpAddr> {
        let [a, b, c, d, ..] = self.address;
        match (self.family, self.source_len) {
            (_, 0) => None,
            (1, _) => Some(Ipv4Addr::new(a, b, c, d).into()),
            _ => Some(Ipv6Addr::from(self.address).into()),
        }
    }

    /// The scope to be told, where the answer is the same for all clients within `needed` bits: never more
    /// than was given, because of what lies behind nothing is known.
    pub fn scope(&self, needed: u8) -> u8 {
        needed.min(self.source_len)
    }

    /// Writes the option of a response.
    pub(super) fn write(&self, scope: u8, out: &mut Writer<'_>) -> Result<(), Full> {
        let bytes = usize::from(self.source_len).div_ceil(8);
        out.put(&Self::CODE.to_be_bytes())?;
        out.put(&(4 + bytes as u16).to_be_bytes())?;
        out.put(&self.family.to_be_bytes())?;
        out.put(&[self.source_len, scope])?;
        out.put(&self.address[..bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::ClientSubnet;

    #[test]
    fn only_well_formed_networks_are_read() {
        // family, source, scope, address; RFC 7871 6 and 7.1.2
        let cases: [(&str, &[u8], bool); 14] = [
            ("/24", &[0, 1, 24, 0, 192, 0, 2], true),
            ("/20", &[0, 1, 20, 0, 192, 0, 0xf0], true),
            ("/32", &[0, 1, 32, 0, 192, 0, 2, 1], true),
            ("nothing given", &[0, 1, 0, 0], true),
            ("nothing given, without a family", &[0, 0, 0, 0], true),
            (
                "IPv6 /56",
                &[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 1],
                true,
            ),
            ("an unknown family", &[0, 3, 8, 0, 1], false),
            (
                "a prefix longer than IPv4",
                &[0, 1, 33, 0, 192, 0, 2, 1, 128],
                false,
            ),
            (
                "a prefix longer than IPv6",
                &[
                    0, 2, 129, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0,
                ],
                false,
            ),
            (
                "bits behind the prefix",
                &[0, 1, 20, 0, 192, 0, 0xf8],
                false,
            ),
            ("too few bytes", &[0, 1, 24, 0, 192, 0], false),
            ("too many bytes", &[0, 1, 24, 0, 192, 0, 2, 0], false),
            ("a scope in a query", &[0, 1, 24, 24, 192, 0, 2], false),
            ("no prefix lengths", &[0, 1, 24], false),
        ];
        for (name, data, is_good) in cases {
            assert_eq!(ClientSubnet::parse(data).is_some(), is_good, "{name}");
        }
    }

    #[test]
    fn a_network_is_cut_to_its_prefix() {
        let cut = ClientSubnet::new([192, 0, 2, 129].into(), 24);
        assert_eq!(Some(cut), ClientSubnet::parse(&[0, 1, 24, 0, 192, 0, 2]));
        assert_eq!(cut.address(), Some([192, 0, 2, 0].into()));
        assert_eq!(ClientSubnet::new([192, 0, 2, 1].into(), 0).address(), None);
        assert_eq!((cut.scope(9), cut.scope(27)), (9, 24));
    }
}
