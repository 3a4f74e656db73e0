//! `gateway mesh-ca`

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use gateway::mesh::authority::{Issued, Validity, make_authority};

#[derive(Debug, Args)]
#[command(after_help = "\
The authority vouches for your regions and for nothing else. Make it once, on a machine that is not part
of the edge:

  gateway mesh-ca --directory mesh
  gateway mesh-certificate nyc3 --directory mesh
  gateway mesh-certificate ams3 --directory mesh

Then give each region ca.pem and its own two files, and name them in `mesh` of its configuration. Keep
ca.key to yourself: who has it can be any region. Running this again does not replace what is there.")]
pub(super) struct Arguments {
    /// Where ca.pem and ca.key are written.
    #[arg(long, short, value_name = "DIRECTORY", default_value = "mesh")]
    directory: PathBuf,
    /// How long the authority is good for.
    #[arg(long, value_name = "DAYS", default_value_t = 3650)]
    days: u32,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let directory = &arguments.directory;
    if let Err(error) = std::fs::create_dir_all(directory) {
        return super::refuse(format_args!("{}: {error}", directory.display()));
    }
    let made = match make_authority(validity(arguments.days)) {
        Ok(made) => made,
        Err(error) => return super::refuse(error),
    };
    match write(directory, "ca", &made) {
        Ok(()) => {
            println!(
                "{}: give it to every region",
                directory.join("ca.pem").display()
            );
            println!(
                "{}: keep it to yourself",
                directory.join("ca.key").display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(error),
    }
}

/// From an hour ago, because clocks differ.
pub(super) fn validity(days: u32) -> Validity {
    let now = SystemTime::now();
    Validity {
        from: now - Duration::from_secs(3600),
        until: now + Duration::from_secs(u64::from(days) * 86_400),
    }
}

/// Writes `name`.pem and `name`.key, which only its owner may read, where neither is there yet.
pub(super) fn write(directory: &Path, name: &str, issued: &Issued) -> Result<(), String> {
    let create = |file: &str, mode: u32, content: &str| {
        let path = directory.join(file);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    create(&format!("{name}.key"), 0o600, &issued.key)?;
    create(&format!("{name}.pem"), 0o644, &issued.certificate)
}
