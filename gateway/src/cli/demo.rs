//! `gateway demo`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use gateway::demo::samples::Extent;
use gateway::demo::{Options, World};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Args)]
#[command(after_help = "\
Needs no configuration, network or root, and leaves nothing behind. Each region is a process of its own;
the ways between them take as long as between the real cities.

  gateway demo                  ports 8080 and up
  gateway demo --port 0         free ports, for several demos at once
  gateway demo --port 0 --json  one line of JSON when everything is ready, for scripts")]
pub(super) struct Arguments {
    /// Port of the global URL; the next ports are taken for the rest. 0 takes free ones.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Print one line of JSON when everything is ready, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Seconds after which a region that died is started again.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    restart_after: u64,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::refuse(error),
    };
    runtime.block_on(demo(arguments))
}

async fn demo(arguments: &Arguments) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return super::refuse("cannot listen for signals");
    };
    let binary = match std::env::current_exe() {
        Ok(binary) => binary,
        Err(error) => return super::refuse(error),
    };
    eprintln!("Starting three regions, an S3 store with sample assets and a compute cluster …");
    let shown = binary.display().to_string();
    let options = Options {
        binary,
        port: arguments.port,
        extent: Extent::Full,
        distance: true,
        slow_start: "20s".to_owned(),
    };
    let started = tokio::select! {
        started = World::start(&options) => started,
        _ = terminate.recv() => return ExitCode::SUCCESS,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
    };
    let mut world = match started {
        Ok(world) => world,
        Err(error) => return super::refuse(error),
    };
    let ready = world.ready();
    if arguments.json {
        match serde_json::to_string(&ready) {
            Ok(line) => println!("{line}"),
            Err(error) => return super::refuse(error),
        }
    } else {
        println!("{}", ready.page(&shown));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = revive(&mut world, Duration::from_secs(arguments.restart_after)) => {}
    }
    match world.stop().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::refuse(error),
    }
}

/// Starts regions again that have died, after a while in which their absence can be seen.
async fn revive(world: &mut World, after: Duration) {
    let regions = world.regions.iter_mut().map(|region| async move {
        loop {
            region.ended().await;
            eprintln!(
                "{} has died; it starts again in {} s",
                region.name(),
                after.as_secs()
            );
            tokio::time::sleep(after).await;
            let started = match region.start() {
                Ok(()) => region.ready().await,
                Err(error) => Err(error),
            };
            match started {
                Ok(()) => eprintln!(
                    "{} is back as pid {}",
                    region.name(),
                    region.pid().unwrap_or(0)
                ),
                Err(error) => eprintln!("{error}"),
            }
        }
    });
    futures_util::future::join_all(regions).await;
}
