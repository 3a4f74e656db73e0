//! What each instance leaves beside the log: how far it is, and when it was last there.

use serde::{Deserialize, Serialize};

use super::answer::Name;
use super::progress::Progress;

/// One instance's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) name: Name,
    /// Milliseconds since 1970, by the instance's own clock.
    pub(super) seen: u64,
    pub(super) progress: Progress,
}

impl Report {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Name of its object. A region's name has no dot, so no two instances share one.
    pub(super) fn object(name: &Name) -> String {
        format!("{}.{}.json", name.region, name.instance)
    }
}
