//! The secrets that URLs are signed with, by id. Several are in use while one replaces another.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use serving::secret::Secret;

use super::permit::Permit;

/// Shortest secret accepted, in bytes: as long as the hash (RFC 2104 section 3 discourages less).
pub const MIN_SECRET: usize = 32;

/// Longest id of a key.
const MAX_ID: usize = 64;

/// One key.
#[derive(Clone)]
pub struct SigningKey {
    id: Box<str>,
    key: hmac::Key,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Its id would need encoding in a URL.
    #[error("an id is up to 64 letters, digits, -, _ and .")]
    Id,
    /// Its secret can be guessed.
    #[error("a signing secret has at least 32 bytes: `openssl rand -base64 32` makes one")]
    Short,
}

impl SigningKey {
    /// A key of this id.
    pub fn new(id: &str, secret: &Secret) -> Result<Self, UnusableKey> {
        if !is_id(id) {
            return Err(UnusableKey::Id);
        }
        let secret = secret.expose().as_bytes();
        if secret.len() < MIN_SECRET {
            return Err(UnusableKey::Short);
        }
        Ok(Self {
            id: id.into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The parameters that make a URL of the permit's scope a signed one, for a query or for the cookie.
    pub fn sign(&self, permit: &Permit) -> String {
        let signature = hmac::sign(&self.key, &permit.message(&self.id));
        super::parameters::render(&self.id, permit, signature.as_ref())
    }

    /// Whether the signature is of this key and for this permit, in constant time.
    pub(super) fn made(&self, permit: &Permit, signature: &[u8]) -> bool {
        hmac::verify(&self.key, &permit.message(&self.id), signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// All keys in use.
#[derive(Clone, Debug)]
pub struct Keys {
    keys: Vec<SigningKey>,
    clock_skew: Duration,
}

impl Keys {
    /// These keys. A URL is taken for `clock_skew` after its expiry, since clocks differ.
    pub fn new(keys: Vec<SigningKey>, clock_skew: Duration) -> Self {
        Self { keys, clock_skew }
    }

    /// The key of an id.
    pub fn find(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| &*key.id == id)
    }

    /// For how long after its expiry a URL is taken.
    pub fn clock_skew(&self) -> Duration {
        self.clock_skew
    }
}

/// Whether a text may be the id of a key: nothing that a URL, a cookie or the signed message would have
/// to escape.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain)
}
