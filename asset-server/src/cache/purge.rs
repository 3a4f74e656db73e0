//! What a purge removes, and what it has removed.

use serde::{Deserialize, Serialize};

use super::key;

/// What to remove. The paths are those of URLs, mount included, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Purge {
    /// One object: `/assets/logo.svg`.
    Key(String),
    /// Every object whose path starts like this: `/assets/v1/`.
    Prefix(String),
    /// Every object with this surrogate key.
    SurrogateKey(String),
}

impl Purge {
    /// Whether a path is to be removed, as far as paths tell.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Key(key) => key::belongs(path, key),
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::SurrogateKey(_) => false,
        }
    }
}

/// What a purge has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReport {
    /// Objects in memory.
    pub memory: u64,
    /// Files on disk.
    pub disk: u64,
    /// Fills in flight, which will not be kept.
    pub fills: u64,
}

impl PurgeReport {
    /// Takes in what another purge has removed.
    pub fn add(&mut self, other: Self) {
        self.memory += other.memory;
        self.disk += other.disk;
        self.fills += other.fills;
    }
}
