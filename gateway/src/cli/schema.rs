//! `gateway schema`

use std::process::ExitCode;

use gateway::config::File;

pub(super) fn run() -> ExitCode {
    println!("{:#}", schemars::schema_for!(File).to_value());
    ExitCode::SUCCESS
}
