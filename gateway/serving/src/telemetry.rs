//! Logs, all through `tracing` and all to standard error, so that standard output belongs to commands.
//!
//! Events of the target [`ACCESS`] are access-log lines. They are formatted by a layer of their own,
//! because there is one for every request, and written by a thread of its own, because a slow reader of
//! the log must never hold up a request.

mod access;

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// `tracing` target of access-log events.
pub const ACCESS: &str = "access";

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// `json` for machines, `text` for people. Access lines are always JSON.
    pub format: Format,
    /// One line for every request.
    pub access: bool,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            format: Format::Json,
            access: true,
        }
    }
}

/// Shape of log lines other than access lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Logging for as long as it is kept; the last lines are written when it is dropped.
#[must_use]
pub struct Logs {
    _access: Option<access::Flush>,
}

/// Starts logging for the process. `RUST_LOG` chooses levels by target, such as
/// `warn,gateway=debug`; without it, `info`.
pub fn init(config: LogFile) -> Result<Logs, TryInitError> {
    let levels = std::env::var("RUST_LOG")
        .ok()
        .and_then(|levels| levels.parse::<Targets>().ok());
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let levels = levels.with_target(ACCESS, LevelFilter::OFF);
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let (json, text) = match config.format {
        Format::Json => (
            Some(stderr.json().flatten_event(true).with_current_span(false)),
            None,
        ),
        Format::Text => (None, Some(stderr_text())),
    };
    let (access, flush) = config.access.then(access::start).unzip();
    tracing_subscriber::registry()
        .with(access.with_filter(Targets::new().with_target(ACCESS, LevelFilter::INFO)))
        .with(json.with_filter(levels.clone()))
        .with(text.with_filter(levels))
        .try_init()?;
    Ok(Logs { _access: flush })
}

fn stderr_text<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
}
