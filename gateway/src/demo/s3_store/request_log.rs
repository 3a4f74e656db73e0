//! Counts what each requester asked of the store, object by object.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// The most GETs that were under way at one moment, each from its question to the end of its body.
    pub get_at_once: u64,
    /// HEADs.
    pub head: u64,
    /// PUTs.
    pub put: u64,
}

/// Shared by all connections. A demo store sees thousands of requests, so one lock is enough.
#[derive(Debug)]
pub(super) struct RequestLog {
    requester_of: HashMap<String, String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Requests,
    /// Requester and object → GETs that have not ended.
    under_way: HashMap<(String, String), u64>,
}

/// A GET until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    log: Arc<RequestLog>,
    of: (String, String),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(count) = self.log.state().under_way.get_mut(&self.of) {
            *count -= 1;
        }
    }
}

impl RequestLog {
    pub(super) fn new(access_keys: &[AccessKey]) -> Self {
        let requester_of = access_keys
            .iter()
            .map(|key| (key.id().to_owned(), key.requester().to_owned()))
            .collect();
        Self {
            requester_of,
            state: Mutex::default(),
        }
    }

    /// Lets `count` note a request for `object`, signed with `access_key_id`.
    pub(super) fn note(
        &self,
        access_key_id: Option<&str>,
        object: &str,
        count: impl FnOnce(&mut ObjectRequests),
    ) {
        let requester = self.requester(access_key_id);
        count(self.state().of(requester, object));
    }

    /// Notes the beginning of a GET.
    pub(super) fn begin_get(
        self: &Arc<Self>,
        access_key_id: Option<&str>,
        object: &str,
        is_range: bool,
    ) -> UnderWay {
        let of = (self.requester(access_key_id).to_owned(), object.to_owned());
        let mut state = self.state();
        let under_way = state.under_way.entry(of.clone()).or_default();
        *under_way += 1;
        let at_once = *under_way;
        let counts = state.of(&of.0, object);
        counts.get += 1;
        counts.get_range += u64::from(is_range);
        counts.get_at_once = counts.get_at_once.max(at_once);
        drop(state);
        let log = Arc::clone(self);
        UnderWay { log, of }
    }

    pub(super) fn requests(&self) -> Requests {
        self.state().requests.clone()
    }

    fn requester(&self, access_key_id: Option<&str>) -> &str {
        access_key_id
            .and_then(|id| self.requester_of.get(id))
            .map_or("unknown", String::as_str)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, requester: &str, object: &str) -> &mut ObjectRequests {
        let objects = self.requests.entry(requester.to_owned()).or_default();
        objects.entry(object.to_owned()).or_default()
    }
}
