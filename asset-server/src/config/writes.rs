//! Writes through the edge: as written, and as used.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::secret::{Secret, SecretSource};
use serving::units::{self, ByteSize};

/// Who may write to a mount, and how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WritesFile {
    /// What writers send as `Authorization: Bearer TOKEN`.
    pub token: SecretSource,
    /// How long an answer may wait for the other instances to forget the object. One that has not by
    /// then is told by the purge log, and the answer says `edge-purge: pending`.
    #[serde(default = "wait")]
    pub wait: units::Duration,
    /// The largest object.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
}

fn wait() -> units::Duration {
    units::Duration::from_secs(5)
}

fn max_size() -> ByteSize {
    ByteSize::gib(50)
}

/// What a [`WritesFile`] means.
#[derive(Clone, Debug)]
pub struct Writes {
    /// What writers send.
    pub token: Secret,
    /// How long an answer waits for the other instances.
    pub wait: Duration,
    /// Bytes of the largest object.
    pub max_size: u64,
}

impl Writes {
    /// The defaults of the configuration file.
    pub fn new(token: Secret) -> Self {
        Self {
            token,
            wait: wait().get(),
            max_size: max_size().get(),
        }
    }
}

impl WritesFile {
    pub(super) fn resolve(&self, directory: &Path) -> Result<Writes, Invalid> {
        if self.max_size.get() == 0 {
            return Err(Invalid::new("max_size", "must be more than nothing"));
        }
        let token = self.token.load(directory);
        Ok(Writes {
            token: token.map_err(|e| Invalid::new("token", e))?,
            wait: self.wait.get(),
            max_size: self.max_size.get(),
        })
    }
}
