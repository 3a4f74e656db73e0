//! `geo-db`: ask the geo data from a shell, and build data files.

mod build;
mod lookup;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use geo_db::{GeoDb, Sources};

/// Where an address is, and which regions are near it.
#[derive(Parser)]
#[command(name = "geo-db", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  geo-db lookup 81.2.69.142 2a00:1450:4001::1
  geo-db nearest 41.90.0.1 --regions nyc3,ams3,sgp1
  geo-db nearest 10.1.2.3 --database GeoLite2-City.mmdb --overrides overrides.csv
  geo-db build offices.csv --output offices.mmdb
  geo-db info --database offices.mmdb --json

With no --database, the country table built into the program answers.";

#[derive(Subcommand)]
enum Verb {
    /// Print where addresses are.
    Lookup(lookup::Lookup),
    /// Print the regions for addresses, nearest by expected round-trip time first.
    Nearest(lookup::Nearest),
    /// Print which data is in use: files, build times, sizes.
    Info(lookup::Info),
    /// Compile networks from CSV or databases into one file.
    Build(build::Build),
}

/// Which data to ask.
#[derive(Args)]
struct Data {
    /// MaxMind-format database or CSV file; may be given more than once, the first that knows an
    /// address answers.
    #[arg(long, value_name = "FILE")]
    database: Vec<PathBuf>,
    /// Database or CSV file of which only the autonomous system numbers are used.
    #[arg(long, value_name = "FILE")]
    asn: Vec<PathBuf>,
    /// Prefix overrides, above every database: CSV, `prefix,country,lat,lon` or
    /// `prefix,region=nyc3`.
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
}

impl Data {
    fn open(self) -> anyhow::Result<GeoDb> {
        let Self {
            database: databases,
            asn,
            overrides,
        } = self;
        Ok(GeoDb::open(&Sources {
            databases,
            asn,
            overrides,
        })?)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        Verb::Lookup(lookup) => lookup.run(),
        Verb::Nearest(nearest) => nearest.run(),
        Verb::Info(info) => info.run(),
        Verb::Build(build) => build.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("geo-db: {error:#}");
            ExitCode::from(2)
        }
    }
}
