//! Access keys of the demo's object store: made afresh at every start, one for each requester.

use std::collections::HashMap;
use std::fmt;
use std::io;

use async_trait::async_trait;
use rustls::crypto::aws_lc_rs;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// What a requester signs with.
#[derive(Clone)]
pub struct AccessKey {
    requester: String,
    id: String,
    secret: String,
}

impl AccessKey {
    /// Random key material for `requester`.
    pub(super) fn generate(requester: &str) -> io::Result<Self> {
        Ok(Self {
            requester: requester.to_owned(),
            id: format!("DEMO{}", random_hex::<8>()?.to_uppercase()),
            secret: random_hex::<20>()?,
        })
    }

    /// Whom the key was made for: the name of a region, or `owner`.
    pub fn requester(&self) -> &str {
        &self.requester
    }

    /// The public half, sent with every request.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half that only signs.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

/// Without the secret.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("requester", &self.requester)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The keys that requests may be signed with, by id.
///
/// As `s3s::auth::SimpleAuth`, but with the error code that real stores give for an unknown id.
pub(super) struct Keyring(HashMap<String, SecretKey>);

impl Keyring {
    pub(super) fn new(keys: &[AccessKey]) -> Self {
        Self(
            keys.iter()
                .map(|key| (key.id.clone(), key.secret.as_str().into()))
                .collect(),
        )
    }
}

#[async_trait]
impl S3Auth for Keyring {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        self.0
            .get(id)
            .cloned()
            .ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

fn random_hex<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    let random = aws_lc_rs::default_provider().secure_random;
    random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_do_not_print_their_secret() {
        let (one, other) = (
            AccessKey::generate("nyc3").unwrap(),
            AccessKey::generate("nyc3").unwrap(),
        );
        assert_ne!(one.id(), other.id());
        assert_ne!(one.secret(), other.secret());
        assert!(!format!("{one:?}").contains(one.secret()));
    }
}
