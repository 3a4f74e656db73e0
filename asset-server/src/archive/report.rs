//! What a run has done so far, for a progress bar while it runs and for the report at its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::Skip;
use crate::store::Listed;
use crate::warm::Line;

/// Failures that are named in a report; all are counted.
const NAMED: usize = 20;

/// A run's report, while it grows.
pub struct Progress {
    report: Mutex<Report>,
    line: Line,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Objects that the rule selected.
    pub selected: u64,
    /// Bytes of them.
    pub selected_bytes: u64,
    /// Objects that are now only in the target. In a dry run: that would be.
    pub moved: u64,
    /// Bytes of them.
    pub moved_bytes: u64,
    /// Bytes read from both stores.
    pub read_bytes: u64,
    /// Parts of interrupted uploads that need not be sent again.
    pub parts_reused: u64,
    /// Objects that stay, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Objects that could not be moved.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
}

/// An object that could not be moved. It is where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its key; empty if it was the listing that failed.
    pub key: String,
    /// Why.
    pub error: String,
}

impl Progress {
    /// `line` is told of objects that were moved, stay though they were selected, or failed.
    pub fn new(line: Line) -> Self {
        Self {
            report: Mutex::default(),
            line,
        }
    }

    /// As it is now.
    pub fn report(&self) -> Report {
        self.with(|report| report.clone())
    }

    pub(super) fn selected(&self, object: &Listed) {
        self.with(|report| {
            report.selected += 1;
            report.selected_bytes += object.size;
        });
    }

    pub(super) fn moved(&self, object: &Listed, how: &str) {
        self.with(|report| {
            report.moved += 1;
            report.moved_bytes += object.size;
        });
        (self.line)(&object.key, how);
    }

    pub(super) fn skipped(&self, skip: Skip) {
        self.with(|report| *report.skipped.entry(skip.as_str()).or_default() += 1);
    }

    pub(super) fn kept(&self, object: &Listed, skip: Skip) {
        self.skipped(skip);
        (self.line)(&object.key, skip.as_str());
    }

    pub(super) fn failed(&self, key: &str, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        (self.line)(key, &error);
        self.with(|report| {
            report.failed += 1;
            if report.failures.len() < NAMED {
                report.failures.push(Failure {
                    key: key.to_owned(),
                    error,
                });
            }
        });
    }

    pub(super) fn read(&self, bytes: u64) {
        self.with(|report| report.read_bytes += bytes);
    }

    pub(super) fn part_reused(&self) {
        self.with(|report| report.parts_reused += 1);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
