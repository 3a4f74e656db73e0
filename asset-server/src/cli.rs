//! The verbs of the `asset-server` command.

mod run;
mod sign;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use asset_server::Standalone;
use clap::{Parser, Subcommand};
use serving::config::{ConfigError, Document};

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
        Verb::Sign(arguments) => sign::run(arguments),
        Verb::Schema => {
            let schema = asset_server::config::standalone_schema();
            // Whoever reads it may stop half-way, as `head` does; that is no fault of ours.
            let _ = writeln!(std::io::stdout(), "{schema:#}");
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
