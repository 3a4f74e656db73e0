//! What we know about an origin's state: from every real request, and from a check every few seconds.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::OriginError;

/// State of one origin, for `/readyz` and the admin API. Never for clients: `error` may say more than
/// they should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginStatus {
    /// Path of the mount that it is behind, and its place there if it is not the first.
    pub name: String,
    /// Whether it answered the last time it was asked.
    pub ok: bool,
    /// Whether it ever answered: one that never did is a mistake, one that did is an outage.
    pub was_ok: bool,
    /// One word for the last failure, while it lasts.
    pub reason: Option<&'static str>,
    /// The last failure as a sentence, while it lasts.
    pub error: Option<String>,
    /// Whether its mount has nothing to serve: it never answered, and no other origin there is well.
    #[serde(skip)]
    pub blocking: bool,
}

/// Who noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A request for an object.
    ByRequest,
    /// The check of the origin as a whole.
    ByCheck,
}

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failure: Option<(&'static str, String)>,
    served: bool,
    /// The check found no bucket or directory at all.
    missing: bool,
    was_ok: bool,
}

impl Health {
    pub(super) fn succeeded(&self, seen: Seen) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure = None;
        state.missing = false;
        state.was_ok = true;
        state.served |= seen == Seen::ByRequest;
    }

    /// "No such object" from an origin that is not there at all is no knowledge about the object:
    /// some stores say it for a missing bucket.
    pub(super) fn believes_not_found(&self) -> Result<(), OriginError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            Some((_, error)) if state.missing => Err(OriginError::Missing(error.clone())),
            _ => Ok(()),
        }
    }

    /// A key that may read objects but not list the bucket is denied the check for ever; once it has
    /// served an object, the denial says nothing.
    pub(super) fn failed(&self, seen: Seen, error: &OriginError) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let harmless =
            matches!(error, OriginError::Denied(_)) && state.served && seen == Seen::ByCheck;
        let passing = matches!(error, OriginError::Changed);
        if !harmless && !passing {
            state.missing |= matches!(error, OriginError::Missing(_));
            state.failure = Some((error.verdict().1, error.to_string()));
        }
    }

    pub(super) fn status(&self, name: &str) -> OriginStatus {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reason, error) = state.failure.clone().unzip();
        OriginStatus {
            name: name.to_owned(),
            ok: error.is_none(),
            was_ok: state.was_ok,
            reason,
            error,
            blocking: !state.was_ok,
        }
    }
}
