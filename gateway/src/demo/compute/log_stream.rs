//! A job's log as server-sent events: what there is at once, the rest as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;

use super::job::Job;

/// Shorter than the idle timeouts of proxies, so that a silent job does not look like a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams the log from the line after the one that `Last-Event-ID` names.
///
/// The events are `log`, one for each line and with its number as id, and a last `end`. A client that
/// reconnects after the end gets 204, which tells a browser's `EventSource` to stop.
pub(super) fn respond(job: Arc<Job>, headers: &HeaderMap) -> Response {
    let next = headers.get("last-event-id").and_then(line_after);
    let (lines, is_complete) = job.log_from(next.unwrap_or(0));
    if next.is_some() && lines.is_empty() && is_complete {
        return StatusCode::NO_CONTENT.into_response();
    }
    let reader = Reader {
        changes: job.changes(),
        job,
        next: next.unwrap_or(0),
        ready: VecDeque::new(),
        ended: false,
    };
    let events = stream::unfold(reader, |mut reader| async {
        let event = reader.next_event().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    response
        .headers_mut()
        .insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

/// Ids are line numbers from 1; what does not look like one is ignored.
fn line_after(last_event_id: &HeaderValue) -> Option<usize> {
    last_event_id.to_str().ok()?.trim().parse().ok()
}

struct Reader {
    job: Arc<Job>,
    changes: watch::Receiver<u64>,
    next: usize,
    ready: VecDeque<Arc<str>>,
    ended: bool,
}

impl Reader {
    /// Waits for the next event; `None` after the last.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                self.next += 1;
                return Some(
                    Event::default()
                        .event("log")
                        .id(self.next.to_string())
                        .data(line),
                );
            }
            if self.ended {
                return None;
            }
            self.changes.mark_unchanged();
            let (lines, is_complete) = self.job.log_from(self.next);
            self.ready.extend(lines);
            if self.ready.is_empty() && is_complete {
                self.ended = true;
                return Some(Event::default().event("end").data("no more lines"));
            }
            if self.ready.is_empty() {
                self.changes.changed().await.ok()?;
            }
        }
    }
}
