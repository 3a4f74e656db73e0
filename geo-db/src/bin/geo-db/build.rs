//! `build`: data files from data files.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use geo_db::build::{compact_from, country_points, mmdb_from};

#[derive(Args)]
#[command(after_help = BUILD_HELP)]
pub(crate) struct Build {
    /// CSV files or MaxMind-format databases.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// File to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Name that the database gives itself.
    #[arg(long, value_name = "NAME", default_value = "Company-Networks")]
    database_type: String,
    /// Write the compact country table that is built into this program, instead of a database.
    #[arg(long, conflicts_with = "country_points")]
    embedded: bool,
    /// Write the table of country points, from a file of places.
    #[arg(long)]
    country_points: bool,
}

const BUILD_HELP: &str = "\
CSV has a heading that names its columns, in any order:
  network,country,lat,lon
  10.20.0.0/16,DE,52.52,13.40
  fd12:3456::/32,SG,1.35,103.82
Columns: network (or start and end), country, lat, lon, accuracy_km, asn. Without a heading:
network,country[,lat,lon] or start,end,country. Of overlapping networks the longer prefix wins.

Put the result before a public database, and addresses that it does not know are answered there:
  geo-db build offices.csv --output offices.mmdb
  geo-db lookup 10.20.1.1 --database offices.mmdb --database GeoLite2-City.mmdb";

impl Build {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (bytes, summary) = self.make()?;
        // Beside the target and then renamed, so that a watching gateway never reads half a file.
        let mut partial = self.output.clone().into_os_string();
        partial.push(".partial");
        fs::write(&partial, &bytes)
            .with_context(|| format!("cannot write {}", partial.display()))?;
        fs::rename(&partial, &self.output)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        println!(
            "{}: {summary}, {} bytes",
            self.output.display(),
            bytes.len()
        );
        Ok(())
    }

    fn make(&self) -> anyhow::Result<(Vec<u8>, String)> {
        if self.country_points {
            let [places] = self.inputs.as_slice() else {
                anyhow::bail!("--country-points takes one file of places");
            };
            let text = country_points(places)?;
            let countries = text.lines().count().saturating_sub(2);
            return Ok((text.into_bytes(), format!("{countries} countries")));
        }
        if self.embedded {
            let built = compact_from(&self.inputs)?;
            return Ok((built.bytes, format!("{} intervals", built.networks)));
        }
        let built = mmdb_from(&self.inputs, &self.database_type)?;
        Ok((built.bytes, format!("{} networks", built.networks)))
    }
}
