//! Access lines: one JSON object per request, formatted in the request's thread and written in batches
//! by another.

use std::cell::OnceCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;

/// Lines that one thread keeps for the writer, in bytes. Past this, lines are dropped and counted.
const MAX_BUFFERED: usize = 16 << 20;
/// How often the writer collects what the threads have.
const INTERVAL: Duration = Duration::from_millis(20);

/// The lines of one thread. Only that thread and the writer ever lock it.
#[derive(Default)]
struct Buffer {
    lines: String,
    dropped: u64,
}

thread_local! {
    static OWN: OnceCell<Arc<Mutex<Buffer>>> = const { OnceCell::new() };
}

/// The buffers of all threads that have logged.
type Buffers = Arc<Mutex<Vec<Arc<Mutex<Buffer>>>>>;

pub(super) struct Layer {
    buffers: Buffers,
}

/// Writes what is left when it is dropped.
pub(super) struct Flush {
    buffers: Buffers,
    ended: Arc<AtomicBool>,
}

pub(super) fn start() -> (Layer, Flush) {
    let buffers = Buffers::default();
    let ended = Arc::new(AtomicBool::new(false));
    let (writing, until) = (buffers.clone(), ended.clone());
    let writer = move || {
        while !until.load(Ordering::Relaxed) {
            std::thread::sleep(INTERVAL);
            write(&writing);
        }
    };
    // Without a thread, lines are written at the end or dropped as too many: nothing blocks.
    let _ = std::thread::Builder::new()
        .name("access-log".into())
        .spawn(writer);
    (
        Layer {
            buffers: buffers.clone(),
        },
        Flush { buffers, ended },
    )
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        write(&self.buffers);
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        OWN.with(|own| {
            let buffer = own.get_or_init(|| {
                let buffer = Arc::<Mutex<Buffer>>::default();
                lock(&self.buffers).push(buffer.clone());
                buffer
            });
            let buffer = &mut *lock(buffer);
            if buffer.lines.len() > MAX_BUFFERED {
                buffer.dropped += 1;
                return;
            }
            let mut line = Line(&mut buffer.lines);
            line.begin();
            event.record(&mut line);
            if buffer.dropped > 0 {
                line.record_number("lines_dropped_before", std::mem::take(&mut buffer.dropped));
            }
            line.end();
        });
    }
}

fn write(buffers: &Buffers) {
    for buffer in &*lock(buffers) {
        let mut lines = std::mem::take(&mut lock(buffer).lines);
        if lines.is_empty() {
            continue;
        }
        // A closed standard error is no reason to stop serving.
        let _ = std::io::stderr().write_all(lines.as_bytes());
        lines.clear();
        let mut buffer = lock(buffer);
        // The room comes back to the thread, unless it has begun anew meanwhile.
        if buffer.lines.is_empty() {
            buffer.lines = lines;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Line<'a>(&'a mut String);

impl Line<'_> {
    fn begin(&mut self) {
        self.0.push_str("{\"timestamp\":\"");
        let _ = write!(
            self.0,
            "{}",
            humantime::format_rfc3339_micros(SystemTime::now())
        );
        self.0.push('"');
    }

    fn end(&mut self) {
        self.0.push_str("}\n");
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
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name());
        self.0.push('"');
        escape(self.0, value);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_number(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Three places by whole numbers: exact formatting of floats takes longer than the whole line.
        let thousandths = (value.max(0.0) * 1000.0).round() as u64;
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        self.record_number(field.name(), format_args!("{whole}.{rest:03}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record_number(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field.name());
        self.0.push('"');
        let _ = write!(Escaping(self.0), "{value:?}");
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
