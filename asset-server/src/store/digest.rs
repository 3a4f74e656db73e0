//! Checksums that a client sends with a body, and whether the body has them.
//!
//! `Content-MD5` (RFC 1864), `Content-Digest` and `Repr-Digest` (RFC 9530; for a PUT they are of the same
//! bytes), and what S3 clients send: `x-amz-checksum-…` and a signed payload's `x-amz-content-sha256`.
//! Algorithms of RFC 9530 that are not known here are ignored, as it says; a digest of a known one that
//! makes no sense is refused, because a client that sends one wants the check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use md5::Digest as _;

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5, 16 bytes.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
}

impl Algorithm {
    /// Bytes of a checksum.
    const fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The checksums that a body must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(Vec<(Algorithm, Vec<u8>)>);

/// Why no checksum can be taken from a header, or a body does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The header's value is no checksum.
    #[error("the header {0} holds no checksum")]
    Malformed(&'static str),
    /// The body has another one.
    #[error("the body does not have the {0:?} checksum that was sent with it")]
    Mismatch(Algorithm),
}

/// Headers whose value is one checksum in base64.
const PLAIN: [(&str, Algorithm); 6] = [
    ("content-md5", Algorithm::Md5),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-amz-checksum-sha256", Algorithm::Sha256),
    ("x-amz-checksum-crc32", Algorithm::Crc32),
    ("x-amz-checksum-crc32c", Algorithm::Crc32c),
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
];

/// Headers whose value is a dictionary of them.
const DICTIONARIES: [&str; 2] = ["content-digest", "repr-digest"];

const PAYLOAD: &str = "x-amz-content-sha256";

impl Expected {
    /// The checksums that a request's headers name.
    pub fn of(headers: &HeaderMap) -> Result<Self, DigestError> {
        let mut expected = Vec::new();
        for (name, algorithm) in PLAIN {
            for value in headers.get_all(name) {
                let bytes = decode(value.as_bytes(), algorithm);
                expected.push((algorithm, bytes.ok_or(DigestError::Malformed(name))?));
            }
        }
        for name in DICTIONARIES {
            for value in headers.get_all(name) {
                let text = value.to_str().map_err(|_| DigestError::Malformed(name))?;
                for member in text.split(',') {
                    let (key, value) = member.trim().split_once('=').unwrap_or_default();
                    let algorithm = match key {
                        "sha-256" => Algorithm::Sha256,
                        "sha-512" => Algorithm::Sha512,
                        _ => continue,
                    };
                    let bytes = byte_sequence(value).and_then(|text| decode(text, algorithm));
                    expected.push((algorithm, bytes.ok_or(DigestError::Malformed(name))?));
                }
            }
        }
        for value in headers.get_all(PAYLOAD) {
            // UNSIGNED-PAYLOAD and STREAMING-… are no checksums.
            if let Some(bytes) = hex(value.as_bytes()) {
                expected.push((Algorithm::Sha256, bytes));
            }
        }
        Ok(Self(expected))
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Content-MD5` in base64, for a store that checks it itself.
    pub(super) fn content_md5(&self) -> Option<String> {
        let md5 = self.0.iter().find(|(kind, _)| *kind == Algorithm::Md5)?;
        Some(STANDARD.encode(&md5.1))
    }
}

/// RFC 9651 section 3.3.5, parameters left away.
fn byte_sequence(value: &str) -> Option<&[u8]> {
    let (text, rest) = value.trim().strip_prefix(':')?.split_once(':')?;
    (rest.is_empty() || rest.starts_with(';')).then_some(text.as_bytes())
}

fn decode(text: &[u8], algorithm: Algorithm) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.trim_ascii()).ok()?;
    (bytes.len() == algorithm.length()).then_some(bytes)
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Crc(crc_fast::Digest),
}

/// Computes what is expected, and nothing else, while a body passes.
pub struct Checker(Vec<(Algorithm, Vec<u8>, State)>);

impl Checker {
    /// For the checksums of one body.
    pub fn new(expected: &Expected) -> Self {
        let state = |algorithm| match algorithm {
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
        };
        let checks = expected.0.iter();
        Self(
            checks
                .map(|(kind, bytes)| (*kind, bytes.clone(), state(*kind)))
                .collect(),
        )
    }

    /// The next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, _, state) in &mut self.0 {
            match state {
                State::Md5(state) => state.update(bytes),
                State::Sha1(state) => state.update(bytes),
                State::Sha256(state) => state.update(bytes),
                State::Sha512(state) => state.update(bytes),
                State::Crc(state) => state.update(bytes),
            }
        }
    }

    /// Whether the body had all of them.
    pub fn finish(self) -> Result<(), DigestError> {
        for (algorithm, expected, state) in self.0 {
            let found = match state {
                State::Md5(state) => state.finalize().to_vec(),
                State::Sha1(state) => state.finalize().to_vec(),
                State::Sha256(state) => state.finalize().to_vec(),
                State::Sha512(state) => state.finalize().to_vec(),
                State::Crc(state) => {
                    let sum = state.finalize().to_be_bytes();
                    sum[sum.len() - algorithm.length()..].to_vec()
                }
            };
            if found != expected {
                return Err(DigestError::Mismatch(algorithm));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
