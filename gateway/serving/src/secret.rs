//! Secrets, which come from a file or the environment and never print.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a secret is kept. The value itself never stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum SecretSource {
    /// A file whose content, without surrounding white space, is the secret.
    File(PathBuf),
    /// The name of an environment variable.
    Environment(String),
}

impl SecretSource {
    /// Fetches the secret; a relative file is looked up under `directory`.
    pub fn load(&self, directory: &Path) -> Result<Secret, SecretError> {
        let value = match self {
            Self::File(path) => {
                let path = directory.join(path);
                std::fs::read_to_string(&path)
                    .map_err(|source| SecretError::File { path, source })?
            }
            Self::Environment(name) => {
                std::env::var(name).map_err(|_| SecretError::Environment { name: name.clone() })?
            }
        };
        match value.trim() {
            "" => Err(SecretError::Empty),
            value => Ok(Secret(value.into())),
        }
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("cannot read the secret in {}: {source}", path.display())]
    File {
        /// File asked for.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Its environment variable is not set.
    #[error("environment variable {name} is not set")]
    Environment {
        /// Variable asked for.
        name: String,
    },
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
}

/// A secret value. It has no `Display`, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret made by the program itself, such as the demo's credentials.
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this secret, in a time that does not tell how much of it was right.
    pub fn matches(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        let differences = own.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
        own.len() == other.len() && differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_compares_whole_and_never_prints() {
        let secret = Secret::new("s3cret");
        assert!(secret.matches("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!secret.matches(wrong), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
