//! `asset-server archive`

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use asset_server::archive::{Archive, Direction, Existing, Options, Progress, Report, Rule};
use asset_server::{Standalone, store};
use clap::Args;
use serving::units::{ByteSize, Duration};

use super::progress::{Bar, bytes};

/// Move old objects of a mount from its origin to its archive, or back.
///
/// Each object is copied, read back from the archive and compared; only then is it deleted from the
/// origin, and only if it has not changed meanwhile. Where there is any doubt both stay, and the report
/// says why. The command can be stopped or killed at any point and run again: nothing is lost, and
/// uploads that were under way are continued.
#[derive(Debug, Args)]
#[command(after_help = "\
The mount needs an archive in the configuration:

  mounts:
    - path: /assets/
      origin: {s3: {…}}
      archive: {directory: {path: /mnt/archive}}     # or {s3: {…}}

Examples:

  asset-server archive --config asset-server.yaml --mount /assets/ --older-than 90d --dry-run
  asset-server archive --config asset-server.yaml --mount /assets/ --older-than 90d --rate-limit 50MiB
  asset-server archive --config asset-server.yaml --mount /assets/ --prefix runs/2024/ --restore

Exit code: 0 all that was selected is moved or stays for a reason that the report names;
1 something failed, and stays; 2 the configuration cannot be used.")]
pub(super) struct Arguments {
    /// The configuration, in YAML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Path of the mount.
    #[arg(long, value_name = "PATH")]
    mount: String,
    /// Only objects written at least so long ago, such as 90d.
    #[arg(long, value_name = "AGE", conflicts_with = "restore")]
    older_than: Option<Duration>,
    /// Only objects whose key starts so; the mount's path is not part of a key.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Only objects with more bytes, such as 10MiB.
    #[arg(long, value_name = "SIZE")]
    larger_than: Option<ByteSize>,
    /// Say what would be moved, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Move objects from the archive back to the origin.
    #[arg(long)]
    restore: bool,
    /// Replace another object of the same key in the target. Without it both stay.
    #[arg(long)]
    replace: bool,
    /// Objects at once.
    #[arg(long, value_name = "N", default_value_t = 4)]
    concurrency: u16,
    /// Bytes per second to read, over all objects, such as 50MiB. Reading back counts.
    #[arg(long, value_name = "BYTES/S")]
    rate_limit: Option<ByteSize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let archive = match super::load(&arguments.config)
        .map_err(|error| error.to_string())
        .and_then(|config| prepare(arguments, &config))
    {
        Ok(archive) => archive,
        Err(error) => return super::refuse(&error),
    };
    super::on_runtime(follow(arguments, &archive))
}

fn prepare(arguments: &Arguments, config: &Standalone) -> Result<Archive, String> {
    let path = &arguments.mount;
    let mounts = &config.assets.mounts;
    let mount = mounts.iter().find(|mount| mount.path == *path);
    let mount = mount.ok_or_else(|| {
        let paths: Vec<_> = mounts.iter().map(|mount| mount.path.as_str()).collect();
        format!(
            "--mount: {path:?} is not mounted; there are {}",
            paths.join(", ")
        )
    })?;
    let place = mount.archive.as_ref();
    let place =
        place.ok_or_else(|| format!("--mount: {path} has no archive in the configuration"))?;
    let connect = |what: &str, place| {
        store::connect(place, &config.assets.origin).map_err(|error| format!("{what}: {error}"))
    };
    let origin = connect("origin", &mount.origin)?;
    let archive = connect("archive", place)?;
    let rule = Rule {
        prefix: arguments.prefix.clone(),
        older_than: arguments.older_than.map(Duration::get),
        larger_than: arguments.larger_than.map(ByteSize::get),
    };
    let options = Options {
        direction: match arguments.restore {
            true => Direction::Restore,
            false => Direction::Archive,
        },
        concurrency: usize::from(arguments.concurrency),
        rate: arguments
            .rate_limit
            .and_then(|rate| NonZeroU64::new(rate.get())),
        existing: match arguments.replace {
            true => Existing::Replace,
            false => Existing::Keep,
        },
    };
    Ok(Archive::new(origin, archive, rule, options))
}

async fn follow(arguments: &Arguments, archive: &Archive) -> ExitCode {
    let (started, now) = (Instant::now(), SystemTime::now());
    let bar = Bar::new();
    let lines = bar.clone();
    let progress = Progress::new(Box::new(move |key, what| {
        lines.line(what.ends_with("moved"), key, what);
    }));
    let drawn = || {
        let report = progress.report();
        let kept: u64 = report.selected.min(report.moved + report.failed);
        (kept, report.selected, report.read_bytes)
    };
    let work = async {
        if arguments.dry_run {
            archive.dry_run(now, &progress).await;
            Ok(())
        } else {
            archive.run(now, &progress).await
        }
    };
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = super::stopped() => None,
        () = bar.follow(drawn) => None,
    };
    bar.end();
    match ended {
        Some(Err(error)) => return super::refuse(&error),
        Some(Ok(())) => {}
        None => eprintln!("asset-server: stopped; run it again to go on"),
    }
    let report = progress.report();
    if arguments.json {
        super::print_json(&report);
    } else {
        print(arguments, &report, started.elapsed());
    }
    match (ended, report.failed) {
        (Some(_), 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn print(arguments: &Arguments, report: &Report, took: std::time::Duration) {
    let done = match (arguments.dry_run, arguments.restore) {
        (true, _) => "would be moved",
        (false, true) => "restored",
        (false, false) => "archived",
    };
    let mut text = format!(
        "{} {done}, {}; {} read in {:.1} s\n",
        objects(report.moved),
        bytes(report.moved_bytes),
        bytes(report.read_bytes),
        took.as_secs_f64()
    );
    for (reason, count) in &report.skipped {
        text += &format!("{}: {reason}\n", stay(*count));
    }
    if report.parts_reused > 0 {
        text += &format!("{} parts were uploaded before\n", report.parts_reused);
    }
    if report.failed > 0 {
        text += &format!(
            "{} failed and stay where they were:\n",
            objects(report.failed)
        );
    }
    for failure in &report.failures {
        let key = match failure.key.as_str() {
            "" => "(listing)",
            key => key,
        };
        text += &format!("  {key}: {}\n", failure.error);
    }
    super::print(&text);
}

fn objects(count: u64) -> String {
    match count {
        1 => "1 object".into(),
        count => format!("{count} objects"),
    }
}

fn stay(count: u64) -> String {
    match count {
        1 => "1 object stays".into(),
        count => format!("{count} objects stay"),
    }
}
