//! How much memory does an entry of the disk tier's index take, how long does a start with a million
//! take, and how long does a request wait while a prefix with half of them is purged?
//!
//! `cargo bench -p benches --bench disk_index -- --entries 1000000 --directory DIR`. It makes `N` empty files
//! named as the tier names them, and a journal that says what they are, with keys of 44 bytes; then it
//! opens the tier like a server does. No object is opened, so their being empty does not matter, and
//! that the start works shows it. The folders' listings come from the page cache: this is the start
//! after a crash or an update, not after a reboot. Making the files takes longer than all the rest.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use asset_server::cache::disk::journal::record::Record;
use asset_server::cache::disk::{DiskCounters, DiskTier, journal};
use benches::Sequence;
use prometheus::IntCounter;
use rustix::time::{ClockId, clock_gettime};

/// Look-ups that are timed, at most.
const MOST_LOOK_UPS: usize = 20_000_000;

fn main() {
    let entries: u64 = argument("--entries")
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let parent = argument("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("a directory can be made");
    let started = Instant::now();
    fill(directory.path(), entries);
    println!(
        "{entries} empty files and their journal were made in {:.1} s",
        started.elapsed().as_secs_f64()
    );

    for run in 1..=3 {
        let before = resident();
        let (cpu, started) = (cpu_time(), Instant::now());
        let tier = open(directory.path());
        let (cpu, took) = (cpu_time() - cpu, started.elapsed());
        let (files, _) = tier.usage();
        assert_eq!(files, entries, "every file is in the index");
        println!(
            "start {run}: {:.2} s, of which {:.2} s on the CPU",
            took.as_secs_f64(),
            cpu.as_secs_f64()
        );
        if run == 1 {
            let bytes = resident().saturating_sub(before) as f64 / entries as f64;
            println!("memory: {bytes:.0} bytes per entry, of which 44 are the key");
        }
        if run == 3 {
            purge(&tier, entries);
        }
    }
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.by_ref().find(|argument| argument == name)?;
    arguments.next()
}

fn key(i: u64) -> String {
    format!(
        "/assets/datasets/{}/shard-{i:012}.tar",
        if i.is_multiple_of(2) {
            "train"
        } else {
            "valid"
        }
    )
}

fn fill(directory: &Path, entries: u64) {
    let file = File::create(directory.join(journal::NAME)).expect("a file can be made");
    let mut written = BufWriter::new(file);
    let mut bytes = Vec::new();
    for i in 0..entries {
        let id = 1_800_000_000_000_000_000 + i;
        let folder = directory.join(format!("{:02x}", id & 0xff));
        if i < 256 {
            fs::create_dir_all(&folder).expect("a folder can be made");
        }
        File::create(folder.join(format!("{id:016x}.object"))).expect("a file can be made");
        bytes.clear();
        Record::Insert {
            id,
            size: 100_000,
            main: i % 3 == 0,
            tags: &[],
            key: &key(i),
        }
        .encode(&mut bytes);
        written
            .write_all(&bytes)
            .expect("the journal can be written");
    }
    written.flush().expect("the journal can be written");
}

fn open(directory: &Path) -> DiskTier {
    let counter = |name: &str| IntCounter::new(name, "help").expect("it is a counter");
    let counters = DiskCounters {
        evictions: counter("evictions"),
        corrupt: counter("corrupt"),
        cached_reads: counter("cached_reads"),
        waited_reads: counter("waited_reads"),
    };
    DiskTier::open(directory, u64::MAX / 2, counters).expect("the tier opens")
}

/// Look-ups of one thread, while another purges half of all keys.
fn purge(tier: &DiskTier, entries: u64) {
    let until = Instant::now() + Duration::from_secs(2);
    let (alone, worst_alone) = look_up(tier, entries, || Instant::now() < until);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let purge = scope.spawn(|| {
            let started = Instant::now();
            let removed = tier.remove_prefix("/assets/datasets/train/");
            done.store(true, Ordering::Release);
            (removed, started.elapsed())
        });
        let (times, worst) = look_up(tier, entries, || !done.load(Ordering::Acquire));
        let (removed, took) = purge.join().expect("the purge does not panic");
        assert_eq!(removed, entries.div_ceil(2));
        println!(
            "purge of {removed} by prefix, files deleted: {:.1} s",
            took.as_secs_f64()
        );
        println!(
            "a look-up alone: median {:.2} µs, 99.9 % {:.0} µs, longest {:.1} ms",
            micros(at(&alone, 0.5)),
            micros(at(&alone, 0.999)),
            micros(worst_alone) / 1000.0
        );
        println!(
            "a look-up meanwhile: median {:.2} µs, 99.9 % {:.0} µs, longest {:.1} ms",
            micros(at(&times, 0.5)),
            micros(at(&times, 0.999)),
            micros(worst) / 1000.0
        );
    });
}

/// Times of look-ups, sorted, and the longest: for as long as `go_on` says.
fn look_up(tier: &DiskTier, entries: u64, go_on: impl Fn() -> bool) -> (Vec<Duration>, Duration) {
    let mut random = Sequence::new();
    let mut times = Vec::new();
    while go_on() && times.len() < MOST_LOOK_UPS {
        let key = key(u64::from(random.next()) % entries);
        let started = Instant::now();
        std::hint::black_box(tier.contains(&key));
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let worst = times.last().copied().unwrap_or_default();
    (times, worst)
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Bytes of memory that this process has in use, page cache apart.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}
