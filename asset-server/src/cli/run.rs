//! `asset-server run`: bind, start, serve, drain.

use std::process::ExitCode;

use asset_server::{AssetServer, Standalone, serve};
use prometheus::Registry;
use serving::drain::Drain;
use serving::listener;
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(config: Standalone) -> ExitCode {
    let _logs = match serving::telemetry::init(config.log) {
        Ok(logs) => logs,
        Err(error) => return super::refuse(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::refuse(&error),
    };
    runtime.block_on(until_drained(config))
}

async fn until_drained(config: Standalone) -> ExitCode {
    let registry = Registry::new();
    // The ports first: a second instance must not get as far as the disk.
    let mut sockets = Vec::new();
    for listener in &config.listeners {
        match listener::bind(listener.address, false) {
            Ok(socket) => sockets.push(socket),
            Err(error) => return super::refuse(&error),
        }
    }
    let admin = match listener::bind(config.admin.address, false) {
        Ok(socket) => socket,
        Err(error) => return super::refuse(&error),
    };
    let server = match AssetServer::start(config.assets.clone(), &registry).await {
        Ok(server) => server,
        Err(error) => return super::refuse(&error),
    };
    let drain = Drain::new();
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return super::refuse(&"signals cannot be received");
    };
    let limit = config.drain_timeout;
    if let Err(error) = serve::serve(config, &server, &registry, sockets, admin, &drain) {
        return super::refuse(&error);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    drain.begin();
    let left = drain.finish(limit).await;
    server.leave().await;
    if left > 0 {
        tracing::warn!(
            left,
            "the drain timeout is over with connections still open"
        );
    }
    ExitCode::SUCCESS
}
