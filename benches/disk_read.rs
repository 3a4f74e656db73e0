//! How many bytes of a cached file does a core read and verify per second?
//!
//! - **on the spot**: `DiskObject::read_now`, that is `preadv2` with `RWF_NOWAIT` into a reused buffer in
//!   the async thread, as responses do;
//! - **blocking thread**: `DiskObject::read` into fresh memory through `spawn_blocking`, one piece ahead, as
//!   responses did before;
//! - **bare pread**: into one buffer, unverified: what the kernel's copy costs alone. No way can beat it.
//!
//! `cargo bench -p benches --bench disk_read -- --directory DIR`. One file of 512 MiB, in the page cache; read
//! as a whole in pieces of 256 KiB, and in 4096 random ranges of 64 KiB. Ways take turns, nine rounds of
//! which the first is thrown away. The figures are medians, with the range behind them, of bytes wanted
//! by the CPU time of all threads, and by wall time on an otherwise idle machine.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use asset_server::cache::disk::{DiskCounters, DiskObject, DiskTier, Read};
use asset_server::cache::entry::{CHUNK, Content, Meta};
use asset_server::cache::freshness::Freshness;
use asset_server::cache::key::CacheKey;
use benches::Sequence;
use http::HeaderMap;
use prometheus::IntCounter;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::spawn_blocking;

const LENGTH: u64 = 512 << 20;
const RANGE: u64 = 64 << 10;
const ROUNDS: usize = 9;

#[derive(Clone, Copy)]
enum Way {
    OnTheSpot,
    BlockingThread,
    BarePread,
}

const WAYS: [(&str, Way); 3] = [
    ("on the spot", Way::OnTheSpot),
    ("blocking thread", Way::BlockingThread),
    ("bare pread", Way::BarePread),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be built");
    let parent = argument("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("a directory can be made");
    let waited = IntCounter::new("waited", "help").expect("it is a counter");
    let (object, file) = write(directory.path(), &waited);

    println!("| read | way | MB per CPU second | MB/s | against on the spot, by CPU |");
    println!("| --- | --- | --- | --- | --- |");
    for (what, ranges) in [("whole", whole()), ("64 KiB random", random())] {
        let mut rates = [const { Vec::new() }; WAYS.len()];
        for round in 0..ROUNDS {
            for (rates, (_, way)) in rates.iter_mut().zip(WAYS) {
                let (cpu, started) = (cpu_time(), Instant::now());
                let bytes = runtime.block_on(read(way, &object, &file, &ranges));
                let (cpu, wall) = (cpu_time() - cpu, started.elapsed());
                if round > 0 {
                    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
                    rates.push((rate(cpu), rate(wall)));
                }
            }
        }
        let ours: Vec<f64> = rates[0].iter().map(|(cpu, _)| *cpu).collect();
        for (rates, (name, _)) in rates.iter().zip(WAYS) {
            let cpu = rates.iter().map(|(cpu, _)| *cpu);
            let wall = rates.iter().map(|(_, wall)| *wall);
            let ratio = cpu.clone().zip(&ours).map(|(theirs, ours)| theirs / ours);
            println!(
                "| {what} | {name} | {} | {} | {} |",
                spread(cpu, 0),
                spread(wall, 0),
                spread(ratio, 2)
            );
        }
    }
    println!("\nreads that had to wait for the device: {}", waited.get());
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.by_ref().find(|argument| argument == name)?;
    arguments.next()
}

/// The object as the tier opens it, and its file.
fn write(directory: &Path, waited: &IntCounter) -> (Arc<DiskObject>, File) {
    let counter = |name: &str| IntCounter::new(name, "help").expect("it is a counter");
    let counters = DiskCounters {
        evictions: counter("evictions"),
        corrupt: counter("corrupt"),
        cached_reads: counter("cached"),
        waited_reads: waited.clone(),
    };
    let tier = DiskTier::open(directory, 2 * LENGTH, counters).expect("the tier opens");
    let freshness = Freshness::for_span(Duration::from_secs(60), SystemTime::now());
    let meta = Meta::of_response(
        http::StatusCode::OK,
        &HeaderMap::new(),
        &[],
        Some("/x"),
        Some(LENGTH),
        freshness,
    );
    let mut writer = tier
        .create(CacheKey::new("/x"), &meta)
        .expect("there is room");
    let mut random = Sequence::new();
    for _ in 0..LENGTH / CHUNK as u64 {
        let piece: Vec<u8> = (0..CHUNK / 4)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        writer.append(&piece).expect("the disk has room");
    }
    writer.publish().expect("the object is complete");
    let entry = tier.open_entry("/x").expect("the object is there");
    let Content::Disk(object) = entry.content else {
        unreachable!("it comes from the disk tier")
    };
    let folders = fs::read_dir(directory).expect("it can be read").flatten();
    let mut files = folders
        .filter_map(|folder| fs::read_dir(folder.path()).ok())
        .flatten()
        .flatten();
    let file = files.next().expect("there is a file").path();
    (object, File::open(file).expect("it can be opened"))
}

fn whole() -> Vec<(u64, u64)> {
    vec![(0, LENGTH)]
}

fn random() -> Vec<(u64, u64)> {
    let mut random = Sequence::new();
    let mut start = || u64::from(random.next()) % (LENGTH - RANGE);
    (0..4096)
        .map(|_| start())
        .map(|at| (at, at + RANGE))
        .collect()
}

async fn read(way: Way, object: &Arc<DiskObject>, file: &File, ranges: &[(u64, u64)]) -> u64 {
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    for &(start, end) in ranges {
        let count = |at: u64| ((CHUNK as u64 - at % CHUNK as u64).min(end - at)) as usize;
        let later = |at: u64| {
            let object = object.clone();
            let count = count(at);
            spawn_blocking(move || object.read(at, count))
        };
        let mut at = start;
        let mut ahead = matches!(way, Way::BlockingThread).then(|| later(at));
        while at < end {
            let got = match way {
                Way::OnTheSpot => {
                    let read = match object.read_now(at, count(at), end) {
                        Read::Done(read) => read,
                        Read::Waits(rest) => spawn_blocking(move || rest.finish())
                            .await
                            .expect("it ends"),
                    };
                    let got = black_box(read.expect("the file is sound")).len();
                    tokio::task::yield_now().await;
                    got
                }
                Way::BlockingThread => {
                    let read = ahead.take().expect("it was begun").await.expect("it ends");
                    let got = black_box(read.expect("the file is sound")).len();
                    let next = at + got as u64;
                    ahead = (next < end).then(|| later(next));
                    got
                }
                Way::BarePread => {
                    let count = count(at);
                    file.read_exact_at(&mut buffer[..count], 1000 + at)
                        .expect("it can be read");
                    black_box(&buffer);
                    count
                }
            };
            at += got as u64;
            bytes += got as u64;
        }
    }
    bytes
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
        }
        _ => String::new(),
    }
}
