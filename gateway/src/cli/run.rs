//! `gateway run`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use gateway::config::{self, Config};
use gateway::gateway::reload::{self, ConfigurationChanges};
use gateway::gateway::{Gateway, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file. Routes and upstreams are taken over when it changes, and on SIGHUP.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// End when standard input does, as when the process that started this one has died.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return super::refuse(error),
    };
    let _logs = match serving::telemetry::init(config.log) {
        Ok(logs) => logs,
        Err(error) => return super::refuse(error),
    };
    // One worker needs no scheduler that hands work from thread to thread.
    let mut runtime = match config.workers {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(serve(config, arguments));
            // Blocking work, such as a disk write, must not hold up the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => super::refuse(error),
    }
}

async fn serve(config: Config, arguments: &Arguments) -> ExitCode {
    let path = arguments.config.clone();
    let stdin_ended = Arc::new(Notify::new());
    if arguments.until_stdin_ends {
        let ended = stdin_ended.clone();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            ended.notify_one();
        });
    }
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return super::refuse("cannot listen for signals");
    };
    let changes = match ConfigurationChanges::watch(path.clone()) {
        Ok(changes) => changes,
        Err(error) => return super::refuse(error),
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
    tokio::spawn(reload::configuration(gateway.edge.clone(), changes));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_ended.notified() => {}
    }
    match gateway.drain().await {
        0 => tracing::info!("drained"),
        left => tracing::warn!(left, "the drain timeout is over; connections were cut"),
    }
    ExitCode::SUCCESS
}
