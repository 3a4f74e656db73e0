//! The verbs of `gateway`, one file each.

mod check;

#[cfg(feature = "demo")]
mod demo;

mod drain;

mod explain;

mod mesh_ca;

mod mesh_certificate;

mod rtt;

mod run;

mod schema;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// A multi-region edge: one URL, each user answered from the nearest healthy region.
#[derive(Debug, Parser)]
#[command(
    name = "gateway",
    version,
    arg_required_else_help = true,
    after_help = "\
Start here:
  gateway demo                               three regions, a bucket and a compute cluster on this machine
  gateway check --config gateway.yaml        is this configuration complete?
  gateway run --config gateway.yaml          serve one region
  gateway explain --config gateway.yaml IP   where would this client be answered, and why?"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve one region until SIGTERM, then finish what is in flight.
    Run(run::Arguments),
    /// Read a configuration and say whether it is complete. Exits with 2 if it is not.
    Check(check::Arguments),
    /// Three regions, an S3 store and a compute cluster on this machine, without configuration.
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    /// Give a region no users, until it is undrained.
    Drain(drain::Drain),
    /// Give a drained region its users back, a few at a time.
    Undrain(drain::Undrain),
    /// Rank the regions for a client address, each with the reason for its place.
    Explain(explain::Arguments),
    /// Make a certificate authority for the links between regions.
    MeshCa(mesh_ca::Arguments),
    /// Make the certificate by which the other regions know a region.
    MeshCertificate(mesh_certificate::Arguments),
    /// Export or import what has been learnt of clients' round trips.
    Rtt(rtt::Arguments),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Exit code for what the operator can put right: configuration, arguments, a port in use.
const USAGE: u8 = 2;

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        #[cfg(feature = "demo")]
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Drain(arguments) => drain::drain(arguments),
        Verb::Undrain(arguments) => drain::undrain(arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::MeshCa(arguments) => mesh_ca::run(&arguments),
        Verb::MeshCertificate(arguments) => mesh_certificate::run(&arguments),
        Verb::Rtt(arguments) => rtt::run(&arguments),
        Verb::Schema => schema::run(),
        Verb::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "gateway",
                &mut std::io::stdout(),
            );
            ExitCode::SUCCESS
        }
    }
}

/// Says what is wrong in one line and gives the exit code for it.
fn refuse(error: impl Display) -> ExitCode {
    eprintln!("gateway: {error}");
    ExitCode::from(USAGE)
}
