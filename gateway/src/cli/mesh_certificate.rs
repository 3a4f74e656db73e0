//! `gateway mesh-certificate`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gateway::mesh::authority::{Issued, issue};
use gateway::mesh::identity::dns_name;
use geo_db::RegionSlug;

#[derive(Debug, Args)]
#[command(after_help = "\
The certificate is for the DNS name REGION.region.edge.internal, which is how the other regions know the
region, wherever it is. All gateways of a region may share it. A running gateway takes over replaced
files at once:

  gateway mesh-certificate ams3 --directory mesh --replace

Any other private authority does as well, such as cert-manager: ask it for this DNS name, with the usages
`server auth` and `client auth`.")]
pub(super) struct Arguments {
    /// The region, as the configuration names it.
    region: RegionSlug,
    /// Where ca.pem and ca.key are, and REGION.pem and REGION.key are written.
    #[arg(long, short, value_name = "DIRECTORY", default_value = "mesh")]
    directory: PathBuf,
    /// How long the certificate is good for.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u32,
    /// Replace the files that are there.
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (directory, region) = (&arguments.directory, arguments.region.as_str());
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let issued = || {
        let authority = Issued {
            certificate: read("ca.pem")?,
            key: read("ca.key")?,
        };
        let validity = super::mesh_ca::validity(arguments.days);
        let issued = issue(&authority, region, validity).map_err(|error| error.to_string())?;
        if arguments.replace {
            for ending in ["key", "pem"] {
                // It may not be there yet.
                let _ = std::fs::remove_file(directory.join(format!("{region}.{ending}")));
            }
        }
        super::mesh_ca::write(directory, region, &issued)
    };
    match issued() {
        Ok(()) => {
            let path = directory.join(format!("{region}.pem"));
            println!(
                "{}: for {}, good for {} days",
                path.display(),
                dns_name(region),
                arguments.days
            );
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(error),
    }
}
