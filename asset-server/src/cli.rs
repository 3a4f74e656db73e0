//! The verbs of the `asset-server` command.

mod archive;
mod progress;
mod purge;
mod run;
mod sign;
mod warm;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use asset_server::Standalone;
use clap::{Parser, Subcommand};
use serving::config::{ConfigError, Document};
use tokio::signal::unix::{SignalKind, signal};

/// One region's HTTP cache in front of object storage.
#[derive(Parser)]
#[command(name = "asset-server", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve until SIGTERM or Ctrl-C, then finish what is in flight.
    Run {
        /// The configuration, in YAML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say whether a configuration can be used: nothing and exit 0, or one message and exit 2.
    Check {
        /// The configuration, in YAML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    Archive(archive::Arguments),
    Warm(warm::Arguments),
    /// Remove objects from the cache of every instance, and print who has done it: exit 0 if everybody has,
    /// 1 if somebody has not yet.
    Purge(purge::Arguments),
    /// Print a signed URL of a private asset.
    Sign(sign::Arguments),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

/// Exit code for a configuration that cannot be used.
const BAD_CONFIG: u8 = 2;

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.verb {
        Verb::Run { config } => match load(config) {
            Ok(config) => run::run(config),
            Err(error) => refuse(&error),
        },
        Verb::Check { config } => match load(config) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => refuse(&error),
        },
        Verb::Archive(arguments) => archive::run(arguments),
        Verb::Warm(arguments) => warm::run(arguments),
        Verb::Purge(arguments) => purge::run(arguments),
        Verb::Sign(arguments) => sign::run(arguments),
        Verb::Schema => {
            let schema = asset_server::config::standalone_schema();
            print(&format!("{schema:#}\n"));
            ExitCode::SUCCESS
        }
    }
}

fn load(path: &Path) -> Result<Standalone, ConfigError> {
    let document = Document::read(path)?;
    let file: asset_server::config::StandaloneFile = document.parse()?;
    file.resolve(document.directory())
        .map_err(|invalid| document.locate(invalid))
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("asset-server: {error}");
    ExitCode::from(BAD_CONFIG)
}

/// Whoever reads it may stop half-way, as `head` does; that is no fault of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_json(report: &impl serde::Serialize) {
    match serde_json::to_string(report) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => eprintln!("asset-server: {error}"),
    }
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => refuse(&error),
    }
}

/// When an operator or the system asks us to stop.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
