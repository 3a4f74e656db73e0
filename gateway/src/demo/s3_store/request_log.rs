//! Counts what each requester asked of the store, object by object.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::AccessKey;

/// Requester (a region) → object key → what was asked.
pub type Requests = BTreeMap<String, BTreeMap<String, ObjectRequests>>;

/// What one requester asked about one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectRequests {
    /// GETs of any kind, whatever the answer; the next three are among them.
    pub get: u64,
    /// GETs of a range.
    pub get_range: u64,
    /// GETs answered 304: the requester's copy still held.
    pub not_modified: u64,
    /// GETs answered with an error.
    pub get_failed: u64,
    /// HEADs.
    pub head: u64,
    /// PUTs.
    pub put: u64,
}

/// Shared by all connections. A demo store sees thousands of requests, so one lock is enough.
#[derive(Debug)]
pub(super) struct RequestLog {
    requester_of: HashMap<String, String>,
    requests: Mutex<Requests>,
}

impl RequestLog {
    pub(super) fn new(access_keys: &[AccessKey]) -> Self {
        let requester_of = access_keys
            .iter()
            .map(|key| (key.id().to_owned(), key.requester().to_owned()))
            .collect();
        Self {
            requester_of,
            requests: Mutex::default(),
        }
    }

    /// Lets `count` note a request for `object`, signed with `access_key_id`.
    pub(super) fn note(
        &self,
        access_key_id: Option<&str>,
        object: &str,
        count: impl FnOnce(&mut ObjectRequests),
    ) {
        let requester = access_key_id
            .and_then(|id| self.requester_of.get(id))
            .map_or("unknown", String::as_str);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        count(
            requests
                .entry(requester.to_owned())
                .or_default()
                .entry(object.to_owned())
                .or_default(),
        );
    }

    pub(super) fn requests(&self) -> Requests {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
