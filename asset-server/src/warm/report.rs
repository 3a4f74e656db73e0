//! What a run has done so far, for a progress bar while it runs and for the report at its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::Uri;
use serde::Serialize;

use super::Item;
use super::cache_status::Said;

/// Failures that are named in a report; all are counted.
const NAMED: usize = 20;

/// Told of every object as it happens: its name, and what became of it.
pub type Line = Box<dyn Fn(&str, &str) + Send + Sync>;

/// A run's report, while it grows.
pub struct Progress {
    report: Mutex<Report>,
    line: Line,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Requests that there were to make: items times servers.
    pub requests: u64,
    /// Answers that came whole and as described.
    pub fetched: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// What an earlier run had done.
    pub done_before: u64,
    /// Answers by what the server said in `Cache-Status`.
    pub cache_status: BTreeMap<&'static str, u64>,
    /// Requests that failed.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Path of the object.
    pub path: String,
    /// Base URL of the server.
    pub to: String,
    /// Why.
    pub error: String,
}

impl Progress {
    /// `line` is told of every answer and failure.
    pub fn new(requests: u64, line: Line) -> Self {
        let report = Report {
            requests,
            ..Report::default()
        };
        Self {
            report: Mutex::new(report),
            line,
        }
    }

    /// As it is now.
    pub fn report(&self) -> Report {
        self.with(|report| report.clone())
    }

    pub(super) fn fetched(&self, item: &Item, said: Said) {
        self.with(|report| {
            report.fetched += 1;
            *report.cache_status.entry(said.as_str()).or_default() += 1;
        });
        (self.line)(&item.path, said.as_str());
    }

    pub(super) fn done_before(&self) {
        self.with(|report| report.done_before += 1);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.with(|report| report.bytes += bytes);
    }

    pub(super) fn failed(&self, item: &Item, target: &Uri, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        (self.line)(&item.path, &error);
        self.with(|report| {
            report.failed += 1;
            if report.failures.len() < NAMED {
                report.failures.push(Failure {
                    path: item.path.clone(),
                    to: target.to_string(),
                    error,
                });
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
