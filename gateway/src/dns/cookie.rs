//! DNS cookies (RFC 7873) in the common form of all implementations (RFC 9018): who returns ours really has
//! the address that it sends from, and is spared the rate limit. No state is kept.

use std::net::IpAddr;

use domain::base::Serial;
use domain::base::opt::cookie::{ClientCookie, ServerCookie, StandardServerCookie};

use super::writer::{Full, Writer};

/// Seconds for which a server cookie is good (RFC 9018 4.3), and those by which its clock may be ahead.
const VALID: u32 = 3600;
const AHEAD: u32 = 300;

/// A key that all gateways of a zone should share, so that one takes the other's cookies.
#[derive(Clone, Copy)]
pub struct CookieSecret(pub [u8; 16]);

impl std::fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieSecret(..)")
    }
}

/// The cookie of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    client: [u8; 8],
    /// Ours, if it has the length of ours.
    server: Option<[u8; 16]>,
    /// Whether there was any server cookie.
    has_server: bool,
}

/// What a query's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieState {
    /// There is none.
    None,
    /// Its client has not heard from us yet.
    ClientOnly,
    /// It is ours and fresh.
    Valid,
    /// It is old, another server's, or forged.
    Invalid,
}

impl CookieState {
    /// All of them, for metrics.
    pub const ALL: [Self; 4] = [Self::None, Self::ClientOnly, Self::Valid, Self::Invalid];

    /// The word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientOnly => "client_only",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

impl Cookie {
    pub(super) const CODE: u16 = 10;

    /// Reads the option; lengths that RFC 7873 5.2.2 does not know are malformed.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        matches!(server.len(), 0 | 8..=32).then_some(Self {
            client: *client,
            server: server.try_into().ok(),
            has_server: !server.is_empty(),
        })
    }

    /// Whether it is ours: made for this client, not too long ago, with our secret.
    pub fn state(&self, client: IpAddr, secret: CookieSecret, now: u32) -> CookieState {
        let Some(server) = self.server.filter(|_| self.has_server) else {
            return if self.has_server {
                CookieState::Invalid
            } else {
                CookieState::ClientOnly
            };
        };
        let cookie = domain::base::opt::Cookie::new(
            ClientCookie::from_octets(self.client),
            Some(ServerCookie::from_octets(&server)),
        );
        let is_fresh = |at: Serial| {
            // Serial arithmetic (RFC 1982): the clock may wrap.
            let age = now.wrapping_sub(at.into_int());
            age <= VALID || age.wrapping_neg() <= AHEAD
        };
        match server[0] == 1 && cookie.check_server_hash(client, &secret.0, is_fresh) {
            true => CookieState::Valid,
            false => CookieState::Invalid,
        }
    }

    /// Writes the option of a response, with a server cookie of now.
    pub(super) fn write(
        &self,
        client: IpAddr,
        secret: CookieSecret,
        now: u32,
        out: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let client_cookie = ClientCookie::from_octets(self.client);
        let server =
            StandardServerCookie::calculate(client_cookie, Serial::from(now), client, &secret.0);
        out.put(&Self::CODE.to_be_bytes())?;
        out.put(&24_u16.to_be_bytes())?;
        out.put(&self.client)?;
        out.put(&[1, 0, 0, 0])?;
        out.put(&now.to_be_bytes())?;
        out.put(&server.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cookie, CookieSecret, CookieState};
    use crate::dns::Writer;

    // RFC 9018, appendix A.1 and A.2
    const SECRET: CookieSecret = CookieSecret([
        0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48, 0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf,
        0xcf,
    ]);
    const CLIENT: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
    const AT: u32 = 1_559_731_985;
    const SERVER: [u8; 16] = [
        1, 0, 0, 0, 0x5c, 0xf7, 0x9f, 0x11, 0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80,
    ];

    fn cookie(server: &[u8]) -> Option<Cookie> {
        Cookie::parse(&[&CLIENT, server].concat())
    }

    #[test]
    fn the_cookie_of_the_rfc_is_made_and_taken() {
        let client = [198, 51, 100, 100].into();
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out, 64).unwrap();
        cookie(&[])
            .unwrap()
            .write(client, SECRET, AT, &mut writer)
            .unwrap();
        let written = [&[0, 10, 0, 24][..], &CLIENT, &SERVER].concat();
        assert_eq!(out[12..40], written);

        let state = |server: &[u8], client, now| cookie(server).unwrap().state(client, SECRET, now);
        assert_eq!(state(&SERVER, client, AT + 3600), CookieState::Valid);
        assert_eq!(state(&SERVER, client, AT - 300), CookieState::Valid);
        assert_eq!(state(&SERVER, client, AT + 3601), CookieState::Invalid);
        assert_eq!(state(&SERVER, client, AT - 301), CookieState::Invalid);
        assert_eq!(
            state(&SERVER, [198, 51, 100, 101].into(), AT),
            CookieState::Invalid
        );
        assert_eq!(state(&[7; 8], client, AT), CookieState::Invalid);
        assert_eq!(state(&[], client, AT), CookieState::ClientOnly);
    }

    #[test]
    fn lengths_that_no_cookie_has_are_malformed() {
        for length in 0..50 {
            let is_good = length == 8 || (16..=40).contains(&length);
            assert_eq!(
                Cookie::parse(&vec![0; length]).is_some(),
                is_good,
                "{length}"
            );
        }
    }
}
