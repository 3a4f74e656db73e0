//! What works in a region, as its own gateway finds out: a region that answers may still have lost its
//! origin or an upstream. Steering sends a request only where what it needs works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a gateway says of itself. What it does not mention works, as far as anyone knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether it can serve assets that are not cached yet.
    #[serde(default = "works")]
    pub assets: bool,
    /// Upstreams that it has endpoints of, by name, and whether one of them can be reached.
    #[serde(default)]
    pub upstreams: BTreeMap<String, bool>,
}

fn works() -> bool {
    true
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            assets: true,
            upstreams: BTreeMap::new(),
        }
    }
}
