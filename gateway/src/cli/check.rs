//! `gateway check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gateway::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match config::load(&arguments.config) {
        Ok(config) => {
            let (regions, routes) = (config.regions.len(), config.routes.len());
            println!(
                "{}: good: {} of {regions} regions, {routes} routes",
                arguments.config.display(),
                config.regions.own().name
            );
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(error),
    }
}
