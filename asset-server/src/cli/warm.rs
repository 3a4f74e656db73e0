//! `asset-server warm`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use asset_server::warm::{Check, Item, Options, Progress, Report, State, Warm, listed, manifest};
use asset_server::{Standalone, store};
use clap::Args;
use http::Uri;
use serving::units::ByteSize;

use super::progress::{Bar, bytes};

/// Bring objects into the cache of running asset servers, by fetching them through it.
///
/// What is fetched is a list of paths (a manifest) or all that the origin lists under a prefix. With
/// --verify, length, entity tag and SHA-256 are compared where the list has them. A run that was
/// interrupted goes on with --resume.
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true).args(["manifest", "prefix"])),
    after_help = "\
A manifest has one path a line, or one JSON object a line with what is known of it:

  /assets/webapp/logo.svg
  {\"path\": \"/assets/model.bin\", \"size\": 1048576, \"sha256\": \"…\"}

Examples:

  asset-server warm --config asset-server.yaml --manifest release.txt --verify
  asset-server warm --config asset-server.yaml --prefix /assets/models/ --rate-limit 100MiB
  asset-server warm --config asset-server.yaml --manifest release.txt --resume \\
      --to http://asset-0.asset:8080 --to http://asset-1.asset:8080

Exit code: 0 all came; 1 something did not; 2 configuration or manifest cannot be used."
)]
pub(super) struct Arguments {
    /// The configuration, in YAML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Fetch the paths in this file.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Fetch what the origin has under this path, such as /assets/models/.
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Base URL of a server to warm; may be given several times. Without it, the listener in the
    /// configuration, on this machine.
    #[arg(long, value_name = "URL")]
    to: Vec<Uri>,
    /// Bytes per second to fetch, such as 100MiB.
    #[arg(long, value_name = "BYTES/S")]
    rate_limit: Option<ByteSize>,
    /// Requests at once.
    #[arg(long, value_name = "N", default_value_t = 8)]
    concurrency: u16,
    /// Compare length, entity tag and SHA-256 with the manifest or listing.
    #[arg(long)]
    verify: bool,
    /// Leave out what an earlier run has fetched.
    #[arg(long)]
    resume: bool,
    /// Where it is noted what is done. Without it, beside the manifest: FILE.warmed.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let prepared = super::load(&arguments.config)
        .map_err(|error| error.to_string())
        .and_then(|config| Ok((prepare(arguments, &config)?, config)));
    match prepared {
        Ok(((warm, targets), config)) => {
            super::on_runtime(follow(arguments, &warm, targets, &config))
        }
        Err(error) => super::refuse(&error),
    }
}

fn prepare(arguments: &Arguments, config: &Standalone) -> Result<(Warm, usize), String> {
    let targets = match arguments.to.is_empty() {
        true => vec![own_listener(config)?],
        false => arguments.to.clone(),
    };
    for target in &targets {
        if !matches!(target.scheme_str(), Some("http" | "https")) || target.query().is_some() {
            return Err(format!("--to: {target} is not an http or https URL"));
        }
    }
    let limits = &config.assets.origin;
    let count = targets.len();
    let options = Options {
        targets,
        concurrency: usize::from(arguments.concurrency),
        rate: arguments
            .rate_limit
            .and_then(|rate| NonZeroU64::new(rate.get())),
        check: match arguments.verify {
            true => Check::Everything,
            false => Check::Complete,
        },
        // The server itself waits so long for its origin.
        idle_timeout: limits.first_byte_timeout + limits.idle_timeout,
        attempts: limits.attempts,
    };
    let warm = Warm::new(options, limits.connect_timeout).map_err(|error| error.to_string())?;
    Ok((warm, count))
}

/// Where the configured server answers on this machine.
fn own_listener(config: &Standalone) -> Result<Uri, String> {
    let plain = config
        .listeners
        .iter()
        .find(|listener| listener.tls.is_none());
    let address = plain.map(|listener| listener.address);
    let address = address.filter(|address| address.port() != 0).ok_or(
        "--to is needed: the configuration has no listener without TLS and with a fixed port",
    )?;
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}/", SocketAddr::new(here, address.port()));
    url.parse().map_err(|_| format!("{url} is not a URL"))
}

async fn items(arguments: &Arguments, config: &Standalone) -> Result<Vec<Item>, String> {
    if let Some(path) = &arguments.manifest {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        return manifest::parse(&text).map_err(|error| named(&error));
    }
    let prefix = arguments.prefix.as_deref().unwrap_or_default();
    let mounts = config.assets.mounts.iter();
    let mount = mounts
        .filter(|mount| prefix.starts_with(&mount.path))
        .max_by_key(|mount| mount.path.len())
        .ok_or_else(|| format!("--prefix: {prefix:?} is under no mount"))?;
    let store = store::connect(&mount.origin, &config.assets.origin);
    let store = store.map_err(|error| format!("--prefix: {error}"))?;
    let items = listed(&*store, &mount.path, prefix).await;
    items.map_err(|error| format!("--prefix: the origin cannot be listed: {error}"))
}

fn state(arguments: &Arguments) -> Result<(State, Option<PathBuf>), String> {
    let beside = |manifest: &Path| {
        let mut name = manifest.as_os_str().to_owned();
        name.push(".warmed");
        PathBuf::from(name)
    };
    let given = arguments.state.clone();
    let path = given.or_else(|| arguments.manifest.as_deref().map(beside));
    let Some(path) = path else {
        return match arguments.resume {
            true => Err(
                "--resume with --prefix needs --state FILE, in this run and the one before".into(),
            ),
            false => Ok((State::none(), None)),
        };
    };
    let state = match arguments.resume {
        true => State::resume(&path),
        false => State::begin(&path),
    };
    match state {
        Ok(state) => Ok((state, Some(path))),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

async fn follow(
    arguments: &Arguments,
    warm: &Warm,
    targets: usize,
    config: &Standalone,
) -> ExitCode {
    let started = Instant::now();
    let items = match items(arguments, config).await {
        Ok(items) => items,
        Err(error) => return super::refuse(&error),
    };
    let (state, state_file) = match state(arguments) {
        Ok(state) => state,
        Err(error) => return super::refuse(&error),
    };
    let bar = Bar::new();
    let lines = bar.clone();
    let usual = ["hit", "stored", "forwarded", "no cache-status"];
    let progress = Progress::new(
        (items.len() * targets) as u64,
        Box::new(move |path, what| lines.line(usual.contains(&what), path, what)),
    );
    let drawn = || {
        let report = progress.report();
        let done = report.fetched + report.failed + report.done_before;
        (done, report.requests, report.bytes)
    };
    let ended = tokio::select! {
        () = warm.run(&items, &state, &progress) => true,
        () = super::stopped() => false,
        () = bar.follow(drawn) => false,
    };
    bar.end();
    let report = progress.report();
    let complete = ended && report.failed == 0;
    match (complete, state_file) {
        // Nothing is left to go on with.
        (true, Some(path)) => {
            let _ = std::fs::remove_file(path);
        }
        (false, Some(_)) => eprintln!("asset-server: run it again with --resume to go on"),
        _ => {}
    }
    if arguments.json {
        super::print_json(&report);
    } else {
        print(&report, started.elapsed());
    }
    match complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn print(report: &Report, took: std::time::Duration) {
    let mut text = format!(
        "{} of {} requests answered, {} in {:.1} s\n",
        report.fetched,
        report.requests,
        bytes(report.bytes),
        took.as_secs_f64()
    );
    for (said, count) in &report.cache_status {
        text += &format!("{count} {said}\n");
    }
    if report.done_before > 0 {
        text += &format!("{} done by an earlier run\n", report.done_before);
    }
    if report.failed > 0 {
        text += &format!("{} failed:\n", report.failed);
    }
    for failure in &report.failures {
        text += &format!(
            "  {} from {}: {}\n",
            failure.path, failure.to, failure.error
        );
    }
    super::print(&text);
}
