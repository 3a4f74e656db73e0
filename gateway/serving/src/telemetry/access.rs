//! Access lines: one JSON object per request, formatted in the request's thread and written in batches
//! by another.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;

/// Lines that wait for the writer. Past this, lines are dropped and the number of them is logged.
const QUEUE: usize = 1 << 16;
/// How long the writer collects lines after the first, so that it wakes rarely when there are many.
const BATCH: Duration = Duration::from_millis(20);

pub(super) struct Layer {
    lines: SyncSender<String>,
    dropped: AtomicU64,
}

impl Layer {
    pub(super) fn start() -> Self {
        let (sender, lines) = sync_channel(QUEUE);
        // Without a thread the receiver is dropped, and every line counts as such: nothing blocks.
        let _ = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(&lines));
        Self {
            lines: sender,
            dropped: AtomicU64::new(0),
        }
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::new();
        event.record(&mut line);
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            line.record_number("lines_dropped_before", dropped);
        }
        match self.lines.try_send(line.finish()) {
            Ok(()) if dropped > 0 => {
                self.dropped.fetch_sub(dropped, Ordering::Relaxed);
            }
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn write(lines: &Receiver<String>) {
    let mut batch = String::with_capacity(1 << 16);
    while let Ok(first) = lines.recv() {
        batch.push_str(&first);
        std::thread::sleep(BATCH);
        for line in lines.try_iter() {
            batch.push_str(&line);
            if batch.len() > 1 << 20 {
                flush(&mut batch);
            }
        }
        flush(&mut batch);
    }
}

/// A closed standard error is no reason to stop serving.
fn flush(batch: &mut String) {
    let _ = std::io::stderr().write_all(batch.as_bytes());
    batch.clear();
}

struct Line(String);

impl Line {
    fn new() -> Self {
        let mut text = String::with_capacity(512);
        text.push_str("{\"timestamp\":\"");
        let _ = write!(
            text,
            "{}",
            humantime::format_rfc3339_micros(SystemTime::now())
        );
        text.push('"');
        Self(text)
    }

    fn key(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn record_number(&mut self, name: &str, number: impl fmt::Display) {
        self.key(name);
        let _ = write!(self.0, "{number}");
    }

    fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name());
        self.0.push('"');
        escape(&mut self.0, value);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.record_number(field.name(), format_args!("{value:.3}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record_number(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field.name());
        self.0.push('"');
        let _ = write!(Escaping(&mut self.0), "{value:?}");
        self.0.push('"');
    }
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// JSON string escapes, RFC 8259 section 7.
fn escape(out: &mut String, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn escaped_text_is_read_back_by_a_json_parser() {
        for text in [
            "",
            "plain",
            "quo\"te",
            "back\\slash",
            "new\nline\u{1}",
            "ümlaut",
        ] {
            let mut out = String::from("\"");
            escape(&mut out, text);
            out.push('"');
            assert_eq!(
                serde_json::from_str::<String>(&out).ok().as_deref(),
                Some(text)
            );
        }
    }
}
