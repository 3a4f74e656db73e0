//! `gateway run`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gateway::config::{self, Config};
use gateway::gateway::{Gateway, StartError, reload};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file. Routes and upstreams are taken over when it changes, and on SIGHUP.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return super::refuse(error),
    };
    if let Err(error) = serving::telemetry::init(config.log) {
        return super::refuse(error);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, arguments.config.clone()));
            // Blocking work, such as a disk write, must not hold up the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => super::refuse(error),
    }
}

async fn serve(config: Config, path: PathBuf) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return super::refuse("cannot listen for signals");
    };
    let gateway = match Gateway::start(config).await {
        Ok(gateway) => gateway,
        Err(error @ StartError::Bind(_)) => {
            return super::refuse(format_args!("{}: {error}", path.display()));
        }
        Err(error) => return super::refuse(error),
    };
    let region = gateway.edge.regions.own().name;
    for (listener, address) in &gateway.listeners {
        tracing::info!(%region, %listener, %address, "serving");
    }
    tracing::info!(%region, listener = "admin", address = %gateway.admin, "serving");
    tokio::spawn(reload::configuration(gateway.edge.clone(), path));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    match gateway.drain().await {
        0 => tracing::info!("drained"),
        left => tracing::warn!(left, "the drain timeout is over; connections were cut"),
    }
    ExitCode::SUCCESS
}
