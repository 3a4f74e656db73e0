//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): a load balancer in front says
//! who the client is, before the first byte of the client's own. Believed from listed sources only.

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use ipnet::IpNet;
use proxy_header::{Error as ParseError, ParseConfig, ProxyHeader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest headers accepted, in bytes. Version 2 has room for the extensions that load balancers send.
const MAX_HEADER: usize = 4096;
const MAX_V1_HEADER: usize = 107;
/// First bytes of the two versions.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The PROXY protocol on one listener, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyProtocolFile {
    /// `off`, `optional` or `required`.
    pub mode: ProxyProtocolMode,
    /// Networks whose word is taken. A header from anywhere else closes the connection.
    #[schemars(with = "Vec<String>")]
    pub from: Vec<IpNet>,
}

/// Whether connections start with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocolMode {
    /// Never; one that comes is a bad request.
    #[default]
    Off,
    /// Listed sources may send one.
    Optional,
    /// Every connection starts with one.
    Required,
}

/// The PROXY protocol on one listener.
#[derive(Clone, Debug, Default)]
pub struct ProxyProtocol {
    mode: ProxyProtocolMode,
    from: Vec<IpNet>,
}

impl From<ProxyProtocolFile> for ProxyProtocol {
    fn from(file: ProxyProtocolFile) -> Self {
        Self {
            mode: file.mode,
            from: file.from,
        }
    }
}

/// What the start of a connection says.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// No header; the bytes belong to the client.
    Absent,
    /// A header of this length. `None`: the proxy speaks for itself, as its health checks do.
    Header(Option<SocketAddr>, usize),
    /// Not enough bytes to tell.
    Incomplete,
    /// A header that breaks the protocol.
    Malformed,
}

/// Reads the start of a connection; pure, so that any bytes can be tried on it.
fn start(bytes: &[u8]) -> Start {
    let signed = |signature: &&[u8]| bytes.starts_with(signature);
    let undecided = |signature: &&[u8]| signature.starts_with(bytes);
    if !SIGNATURES.iter().any(signed) {
        return if SIGNATURES.iter().any(undecided) {
            Start::Incomplete
        } else {
            Start::Absent
        };
    }
    let v1 = bytes.starts_with(SIGNATURES[0]);
    // A version 1 header is one line; the parser would look for its fields past the end of it.
    let line = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .map(|end| end + 2);
    let (header, whole) = match line {
        Some(end) if v1 => (&bytes[..end], true),
        _ => (bytes, false),
    };
    let limit = if v1 { MAX_V1_HEADER } else { MAX_HEADER };
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((header, length)) => Start::Header(
            header.proxied_address().map(|address| address.source),
            length,
        ),
        Err(ParseError::BufferTooShort) if !whole && bytes.len() < limit => Start::Incomplete,
        Err(_) => Start::Malformed,
    }
}

/// Why a connection was closed before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("a PROXY header came from a source that is not listed")]
    Unlisted,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header is missing")]
    Missing,
    #[error("the connection ended within its PROXY header")]
    Cut,
}

impl ProxyProtocol {
    pub(super) fn is_off(&self) -> bool {
        self.mode == ProxyProtocolMode::Off
    }

    /// Takes the header off `stream`. Returns the client's address, and bytes read past the header.
    pub(super) async fn accept<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        peer: SocketAddr,
    ) -> io::Result<Result<(SocketAddr, BytesMut), Refused>> {
        let listed = self
            .from
            .iter()
            .any(|network| network.contains(&peer.ip().to_canonical()));
        if !listed {
            return Ok(match self.mode {
                ProxyProtocolMode::Required => Err(Refused::Unlisted),
                _ => Ok((peer, BytesMut::new())),
            });
        }
        let mut bytes = BytesMut::with_capacity(512);
        loop {
            match start(&bytes) {
                Start::Incomplete => {}
                Start::Header(source, length) => {
                    let rest = bytes.split_off(length);
                    return Ok(Ok((source.unwrap_or(peer), rest)));
                }
                Start::Absent if self.mode == ProxyProtocolMode::Optional => {
                    return Ok(Ok((peer, bytes)));
                }
                Start::Absent => return Ok(Err(Refused::Missing)),
                Start::Malformed => return Ok(Err(Refused::Malformed)),
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                // A client that closes without a word has done nothing wrong.
                return Ok(if bytes.is_empty() {
                    Ok((peer, bytes))
                } else {
                    Err(Refused::Cut)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
