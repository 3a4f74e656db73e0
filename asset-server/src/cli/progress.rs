//! Progress of a long-running verb on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(200);

/// A bar that is not there where nobody would see it move.
#[derive(Clone)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{spinner} {wide_bar} {pos}/{len} objects, {msg}, {elapsed}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// One line about one object. On a terminal only what is not as usual.
    pub(super) fn line(&self, usual: bool, name: &str, what: &str) {
        match &self.0 {
            Some(_) if usual => {}
            Some(bar) => bar.println(format!("{name}: {what}")),
            None => eprintln!("{name}: {what}"),
        }
    }

    /// Draws what `state` says (objects done, objects, bytes) until dropped.
    pub(super) async fn follow(&self, state: impl Fn() -> (u64, u64, u64)) {
        let Some(bar) = &self.0 else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let (done, all, bytes) = state();
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(HumanBytes(bytes).to_string());
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}
