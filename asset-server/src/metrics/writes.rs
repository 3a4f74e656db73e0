//! Writes through the edge, by what they are and what became of them.

use std::sync::Arc;

use prometheus::IntCounter;

use super::Family;

/// What a client wants to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    /// A whole object.
    Put,
    /// A file of a form.
    Form,
    /// The removal of an object.
    Delete,
    /// To begin an upload in parts.
    Begin,
    /// One part of it.
    Part,
    /// To know the parts that are there.
    List,
    /// To make the parts an object.
    Complete,
    /// To give the upload up.
    Abort,
    /// Nothing that is known.
    Other,
}

impl WriteKind {
    const ALL: [(Self, &str); 9] = [
        (Self::Put, "put"),
        (Self::Form, "form"),
        (Self::Delete, "delete"),
        (Self::Begin, "begin_upload"),
        (Self::Part, "put_part"),
        (Self::List, "list_parts"),
        (Self::Complete, "complete_upload"),
        (Self::Abort, "abort_upload"),
        (Self::Other, "other"),
    ];
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteResult {
    /// Done, and invalid in every cache where that matters.
    Done,
    /// Done, and some instance has not confirmed that it has forgotten the object.
    Pending,
    /// The client's fault.
    Refused,
    /// Not the client's fault.
    Failed,
}

impl WriteResult {
    const ALL: [(Self, &str); 4] = [
        (Self::Done, "done"),
        (Self::Pending, "pending"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
    ];
}

/// Counters by kind and result.
#[derive(Clone, Debug)]
pub(crate) struct WriteMetrics(Arc<[[IntCounter; WriteResult::ALL.len()]; WriteKind::ALL.len()]>);

impl WriteMetrics {
    pub(super) fn register(add: &Family<'_>) -> Result<Self, prometheus::Error> {
        let writes = add.counters_by(
            "writes_total",
            "authorised and refused writes through the edge",
            &["kind", "result"],
        )?;
        let by_kind = WriteKind::ALL.map(|(_, kind)| {
            WriteResult::ALL.map(|(_, result)| writes.with_label_values(&[kind, result]))
        });
        Ok(Self(Arc::new(by_kind)))
    }

    pub(crate) fn count(&self, kind: WriteKind, result: WriteResult) {
        self.0[kind as usize][result as usize].inc();
    }
}
