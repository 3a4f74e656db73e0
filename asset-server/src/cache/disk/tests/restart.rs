//! Restarts: with a sound journal, with a damaged or lying one, and with damaged files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::super::journal::record::Record;
use super::super::*;
use super::tier::{World, body, get, put};

fn key(i: usize) -> String {
    format!("/assets/{}/{i}", i % 3)
}

fn object(i: usize) -> Vec<u8> {
    body(&key(i), 1, 100 * i + i)
}

fn filled(count: usize) -> World {
    let world = World::new();
    let tier = world.open();
    for i in 0..count {
        put(&tier, &key(i), &object(i)).expect("written");
    }
    world
}

#[test]
fn a_start_reads_the_journal_and_no_object() {
    let world = filled(20);
    let before = world.files.faults.done();
    let tier = world.open();
    assert_eq!(
        world.files.faults.done() - before,
        2,
        "the journal, read and opened to append"
    );
    for i in 0..20 {
        assert!(get(&tier, &key(i)) == Some(object(i)), "{}", key(i));
    }
    assert_eq!(tier.usage().0, 20);
}

#[test]
fn without_a_journal_the_heads_are_read_and_it_is_written_anew() {
    for damage in ["missing", "empty", "noise"] {
        let world = filled(20);
        match damage {
            "missing" => fs::remove_file(world.journal()).expect("removed"),
            "empty" => fs::write(world.journal(), "").expect("written"),
            _ => fs::write(world.journal(), body("noise", 1, 100_000)).expect("written"),
        }
        assert_eq!(world.recovery().heads_read, 20, "{damage}");
        let tier = world.open();
        for i in 0..20 {
            assert!(
                get(&tier, &key(i)) == Some(object(i)),
                "{damage}: {}",
                key(i)
            );
        }
        drop(tier);
        let recovery = world.recovery();
        assert_eq!(
            (recovery.heads_read, recovery.journal.skipped),
            (0, 0),
            "{damage}"
        );
    }
}

#[test]
fn a_journal_that_lies_gives_no_wrong_byte() {
    let world = filled(10);
    let recovery = world.recovery();
    let mut lies = Vec::new();
    for (i, file) in recovery.files.iter().enumerate() {
        let other = &recovery.files[(i + 1) % 10];
        let (size, key) = match i {
            0..5 => (file.size, &other.key), // the object of another key
            5..8 => (other.size, &file.key), // of another length
            _ => (u64::MAX, &file.key),
        };
        Record::Insert {
            id: file.id,
            size,
            main: true,
            tags: &[],
            key,
        }
        .encode(&mut lies);
    }
    Record::Remove { id: u64::MAX }.encode(&mut lies);
    fs::write(world.journal(), lies).expect("written");
    let tier = world.open();
    for i in 0..10 {
        assert!(get(&tier, &key(i)).is_none(), "{}", key(i));
        put(&tier, &key(i), &object(i)).expect("written");
        assert!(get(&tier, &key(i)) == Some(object(i)), "{}", key(i));
    }
}

#[test]
fn damaged_files_are_dropped_when_they_are_asked_for_and_no_other() {
    for (damage, counted) in [
        ("truncated", 1),
        ("longer", 1),
        ("empty", 1),
        ("bit of the header", 1),
        ("bit of the body", 1),
        ("bit of the table", 1),
        ("swapped with another", 2),
        ("missing", 0),
        ("a directory", 0),
    ] {
        let world = filled(5);
        let files = world.objects();
        let recovery = world.recovery();
        let file = files.iter().find(|f| {
            f.to_string_lossy()
                .contains(&format!("{:016x}", recovery.files[4].id))
        });
        let file = file.expect("the last one");
        let other = files.iter().find(|f| *f != file).expect("another");
        let mut bytes = fs::read(file).expect("read");
        let length = bytes.len();
        match damage {
            "truncated" => bytes.truncate(length - 1),
            "longer" => bytes.push(0),
            "empty" => bytes.clear(),
            "bit of the header" => bytes[9] ^= 4,
            "bit of the body" => bytes[length - 100] ^= 4,
            "bit of the table" => bytes[length - 2] ^= 4,
            "swapped with another" => {
                bytes = fs::read(other).expect("read");
                fs::copy(file, other).expect("copied");
            }
            _ => {}
        }
        fs::write(file, bytes).expect("written");
        if damage == "missing" || damage == "a directory" {
            fs::remove_file(file).expect("removed");
        }
        if damage == "a directory" {
            fs::create_dir(file).expect("made");
        }
        let tier = world.open();
        let mut lost = 0;
        for i in 0..5 {
            match get(&tier, &key(i)) {
                Some(got) => assert!(got == object(i), "{damage}: {} is wrong", key(i)),
                None => lost += 1,
            }
            assert_eq!(
                tier.contains(&key(i)),
                get(&tier, &key(i)).is_some(),
                "{damage}"
            );
        }
        assert_eq!(
            (lost, world.counters.corrupt.get()),
            (counted.max(1), counted),
            "{damage}"
        );
    }
}

#[test]
fn a_smaller_tier_keeps_what_fits() {
    let mut world = filled(20);
    let all = world.open().usage().1;
    world.capacity = all / 2;
    let tier = world.open();
    let (files, bytes) = tier.usage();
    assert!(files > 0 && bytes <= all / 2, "{bytes} of {all}");
    assert_eq!(world.objects().len() as u64, files);
}

#[test]
fn the_main_queue_survives_a_restart() {
    let mut world = World::new();
    world.capacity = 100_000;
    let tier = world.open();
    for i in 0..30 {
        put(&tier, &format!("/hot/{i}"), &body("hot", 1, 1000)).expect("written");
        tier.open_entry(&format!("/hot/{i}"));
        tier.open_entry(&format!("/hot/{i}"));
    }
    let scan = |tier: &DiskTier, name: &str| {
        for i in 0..200 {
            put(tier, &format!("/{name}/{i}"), &body("cold", 1, 1000)).expect("written");
        }
    };
    scan(&tier, "first");
    drop(tier);
    let tier = world.open();
    scan(&tier, "second");
    let hot = (0..30)
        .filter(|i| tier.contains(&format!("/hot/{i}")))
        .count();
    assert_eq!(hot, 30, "two scans and a restart touched nothing");
}

#[test]
fn changes_during_a_compaction_are_kept() {
    let world = filled(300);
    let tier = world.open();
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 300..400 {
                put(&tier, &key(i), &object(i)).expect("written");
                assert!(tier.remove(&key(i - 300)));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            tier.0.compact();
        }
    });
    drop(tier);
    let recovery = world.recovery();
    assert_eq!((recovery.heads_read, recovery.files.len()), (0, 300));
    let tier = world.open();
    for i in 0..400 {
        assert_eq!(tier.contains(&key(i)), i >= 100, "{}", key(i));
    }
}

#[test]
fn the_journal_does_not_grow_for_ever() {
    let world = World::new();
    let tier = world.open();
    let long = "x".repeat(8_000);
    for i in 0..800 {
        put(&tier, &format!("/{i}/{long}"), b"x").expect("written");
        assert!(tier.remove(&format!("/{i}/{long}")));
    }
    let length = world.journal().metadata().expect("a journal").len();
    assert!(length < 5 << 20, "{length}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_to_the_journal_every_object_is_read_as_it_was_written(
        cut in proptest::option::of(any::<prop::sample::Index>()),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..6),
    ) {
        let world = filled(12);
        let mut bytes = fs::read(world.journal()).expect("read");
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            let cut = cut.index(bytes.len());
            bytes.truncate(cut);
        }
        fs::write(world.journal(), bytes).expect("written");
        let tier = world.open();
        for i in 0..12 {
            prop_assert!(get(&tier, &key(i)) == Some(object(i)), "{}", key(i));
        }
        prop_assert_eq!(world.counters.corrupt.get(), 0);
    }
}
