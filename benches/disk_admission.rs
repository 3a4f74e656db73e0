//! How many requests and bytes does the disk tier's eviction (S3-FIFO) answer, beside plain LRU and
//! beside FIFO with a second chance, when one long scan of cold files crosses a Zipf mix?
//!
//! `cargo bench -p benches --bench disk_admission` prints a table. Everything is seeded, so every run
//! prints the same. The trace: 20,000 hot objects of 4 KiB to 4 MiB (log-uniform), asked for by a Zipf
//! law; the tier holds a tenth of their bytes. After a warm-up of 200,000 requests come 400,000 that
//! count. In the second case a scan of 100,000 files, each asked for once and as large as the hot
//! ones, is spread over the middle half of those. Only requests for hot objects count: a scan cannot hit.

use std::collections::{BTreeMap, HashMap, VecDeque};

use asset_server::cache::disk::eviction::{Handle, Moved, S3Fifo};
use benches::Sequence;

const HOT: u32 = 20_000;
const WARM_UP: usize = 200_000;
const COUNTED: usize = 400_000;
const SCAN: usize = 100_000;

fn main() {
    println!("| Zipf | scan | policy | hit ratio by request | by byte |");
    println!("| --- | --- | --- | --- | --- |");
    for exponent in [0.8, 0.9, 1.0] {
        for scan in [false, true] {
            let trace = Trace::new(exponent, scan);
            let policies: [(&str, Box<dyn Policy>); 3] = [
                ("S3-FIFO", Box::new(OurFifo::new(trace.capacity))),
                ("LRU", Box::new(Lru::new(trace.capacity))),
                (
                    "FIFO, second chance",
                    Box::new(SecondChance::new(trace.capacity)),
                ),
            ];
            for (name, mut policy) in policies {
                let (requests, bytes) = trace.run(&mut *policy);
                let scan = if scan { "yes" } else { "no" };
                println!("| {exponent} | {scan} | {name} | {requests:.3} | {bytes:.3} |");
            }
        }
    }
}

// === the trace ===

struct Trace {
    requests: Vec<(u32, u64)>,
    capacity: u64,
}

impl Trace {
    fn new(exponent: f64, scan: bool) -> Self {
        let mut random = Sequence::new();
        let mut uniform = move || f64::from(random.next()) / f64::from(u32::MAX);
        let mut size = {
            let mut random = Sequence::new();
            move || (4096.0 * 1024f64.powf(f64::from(random.next()) / f64::from(u32::MAX))) as u64
        };
        let sizes: Vec<u64> = (0..HOT).map(|_| size()).collect();
        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=HOT)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        let mut requests = Vec::new();
        let mut cold = HOT;
        for i in 0..WARM_UP + COUNTED {
            let wanted = uniform() * sum;
            let object = cumulative
                .partition_point(|c| *c < wanted)
                .min(HOT as usize - 1);
            requests.push((object as u32, sizes[object]));
            let middle = WARM_UP + COUNTED / 4..WARM_UP + COUNTED * 3 / 4;
            if scan && middle.contains(&i) && i % (COUNTED / 2 / SCAN) == 0 {
                requests.push((cold, size()));
                cold += 1;
            }
        }
        let capacity = sizes.iter().sum::<u64>() / 10;
        Self { requests, capacity }
    }

    /// Hit ratios of the hot objects after the warm-up.
    fn run(&self, policy: &mut dyn Policy) -> (f64, f64) {
        let (mut asked, mut hits, mut asked_bytes, mut hit_bytes) = (0u64, 0u64, 0u64, 0u64);
        for (i, (object, size)) in self.requests.iter().enumerate() {
            let hit = policy.request(*object, *size);
            assert!(policy.bytes() <= self.capacity);
            if i >= WARM_UP && *object < HOT {
                asked += 1;
                asked_bytes += size;
                hits += u64::from(hit);
                hit_bytes += if hit { *size } else { 0 };
            }
        }
        (
            hits as f64 / asked as f64,
            hit_bytes as f64 / asked_bytes as f64,
        )
    }
}

/// A cache that fetches and keeps what it misses. Whether a request was a hit.
trait Policy {
    fn request(&mut self, object: u32, size: u64) -> bool;
    fn bytes(&self) -> u64;
}

// === ours ===

struct OurFifo {
    queue: S3Fifo<u32>,
    places: HashMap<u32, Handle>,
}

impl OurFifo {
    fn new(capacity: u64) -> Self {
        Self {
            queue: S3Fifo::new(capacity),
            places: HashMap::new(),
        }
    }
}

impl Policy for OurFifo {
    fn request(&mut self, object: u32, size: u64) -> bool {
        if let Some(place) = self.places.get(&object) {
            self.queue.touch(*place);
            return true;
        }
        let mut moved = Moved::default();
        self.queue.make_room(size, usize::MAX, &mut moved);
        for (_, _, gone) in moved.evicted {
            self.places.remove(&gone);
        }
        let hash = object.wrapping_mul(0x9e37_79b1);
        if let Some(place) = self.queue.insert(hash, size, object) {
            self.places.insert(object, place);
        }
        false
    }

    fn bytes(&self) -> u64 {
        self.queue.bytes()
    }
}

// === plain LRU ===

struct Lru {
    by_time: BTreeMap<u64, u32>,
    held: HashMap<u32, (u64, u64)>,
    now: u64,
    bytes: u64,
    capacity: u64,
}

impl Lru {
    fn new(capacity: u64) -> Self {
        Self {
            by_time: BTreeMap::new(),
            held: HashMap::new(),
            now: 0,
            bytes: 0,
            capacity,
        }
    }
}

impl Policy for Lru {
    fn request(&mut self, object: u32, size: u64) -> bool {
        self.now += 1;
        let before = self.held.insert(object, (self.now, size));
        self.by_time.insert(self.now, object);
        if let Some((time, _)) = before {
            self.by_time.remove(&time);
            return true;
        }
        self.bytes += size;
        while self.bytes > self.capacity {
            let Some((_, oldest)) = self.by_time.pop_first() else {
                break;
            };
            self.bytes -= self.held.remove(&oldest).map_or(0, |(_, size)| size);
        }
        false
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

// === FIFO with a second chance ===

struct SecondChance {
    queue: VecDeque<u32>,
    held: HashMap<u32, (bool, u64)>,
    bytes: u64,
    capacity: u64,
}

impl SecondChance {
    fn new(capacity: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            held: HashMap::new(),
            bytes: 0,
            capacity,
        }
    }
}

impl Policy for SecondChance {
    fn request(&mut self, object: u32, size: u64) -> bool {
        if let Some((used, _)) = self.held.get_mut(&object) {
            *used = true;
            return true;
        }
        while self.bytes + size > self.capacity {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            match self.held.get_mut(&oldest) {
                Some((used, _)) if *used => {
                    *used = false;
                    self.queue.push_back(oldest);
                }
                _ => self.bytes -= self.held.remove(&oldest).map_or(0, |(_, size)| size),
            }
        }
        self.held.insert(object, (false, size));
        self.queue.push_back(object);
        self.bytes += size;
        false
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
