//! `gateway check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gateway::config::{self, Config};
use gateway::mesh::Keys;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match config::load(&arguments.config) {
        Ok(config) => {
            if let Err(reason) = mesh_keys(&config) {
                let file = arguments.config.display();
                return super::refuse(format_args!("{file}: mesh: {reason}"));
            }
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

/// Whether the other regions would take this region's certificate.
fn mesh_keys(config: &Config) -> Result<(), String> {
    let Some(mesh) = &config.mesh else {
        return Ok(());
    };
    let region = config.regions.own().name;
    match Keys::load(&mesh.keys, region.as_str()) {
        Ok(Keys { trouble: None, .. }) => Ok(()),
        Ok(Keys {
            trouble: Some(reason),
            ..
        }) => Err(format!(
            "other regions will not take its certificate: {reason}"
        )),
        Err(error) => Err(error.to_string()),
    }
}
