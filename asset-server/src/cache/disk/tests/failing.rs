//! A disk that fails at every single operation of a scenario, once or for good. For good is also what a
//! killed process looks like: from some operation on, nothing more happens.

use std::io::ErrorKind;

use super::super::*;
use super::tier::{World, body, get, put};

const A: &str = "/assets/a";
const B: &str = "/assets/dir/b";
const C: &str = "/assets/dir/c";
const KEYS: [&str; 3] = [A, B, C];
const LENGTH: usize = 2 * format::BLOCK + 5000;

/// Writes, reads, replaces, removes. Each step may fail; none may panic or give a wrong byte.
fn scenario(tier: &DiskTier) {
    let _ = put(tier, A, &body(A, 1, LENGTH));
    let _ = put(tier, B, &body(B, 1, 1000));
    check(tier, "after the first writes");
    let _ = put(tier, A, &body(A, 2, LENGTH));
    tier.remove(B);
    assert!(!tier.contains(B), "a removed object is not there");
    let _ = put(tier, C, &body(C, 1, 0));
    tier.remove_prefix("/assets/dir/");
    let _ = put(tier, C, &body(C, 2, 5000));
    tier.0.compact();
    check(tier, "at the end");
}

/// Whatever there is, is one of the versions that were written.
fn check(tier: &DiskTier, when: &str) {
    for key in KEYS {
        if let Some(got) = get(tier, key) {
            let known = [1, 2]
                .iter()
                .any(|version| got == body(key, *version, got.len()));
            let whole = match key {
                A => got.len() == LENGTH,
                B => got.len() == 1000,
                _ => got.is_empty() || got.len() == 5000,
            };
            assert!(known && whole, "{key} has {} wrong bytes {when}", got.len());
        }
    }
}

fn operations() -> u64 {
    let world = World::new();
    let tier = world.open();
    let before = world.files.faults.done();
    scenario(&tier);
    assert!(get(&tier, A) == Some(body(A, 2, LENGTH)));
    assert!(get(&tier, B).is_none() && get(&tier, C) == Some(body(C, 2, 5000)));
    assert_eq!(world.counters.corrupt.get(), 0);
    world.files.faults.done() - before
}

#[test]
fn one_failure_at_any_operation_costs_no_byte_and_brings_nothing_back() {
    let kinds = [
        ErrorKind::StorageFull,
        ErrorKind::ReadOnlyFilesystem,
        ErrorKind::Other,
    ];
    for (after, kind) in (0..operations()).zip(kinds.into_iter().cycle()) {
        let world = World::new();
        let tier = world.open();
        world.files.faults.fail(after, 1, kind);
        scenario(&tier);
        world.files.faults.end();
        check(&tier, "once the disk is well again");
        assert_eq!(
            world.counters.corrupt.get(),
            0,
            "a failing disk is no damage ({kind} at {after})"
        );
        put(&tier, A, &body(A, 2, LENGTH)).expect("the tier goes on");
        assert!(get(&tier, A) == Some(body(A, 2, LENGTH)));
        let (files, bytes) = tier.usage();
        drop(tier);

        let tier = world.open();
        check(&tier, "after a restart");
        assert!(!tier.contains(B), "{B} came back ({kind} at {after})");
        assert_eq!(tier.usage(), (files, bytes), "{kind} at {after}");
        assert_eq!(world.objects().len() as u64, files, "no file is left over");
    }
}

#[test]
fn a_process_that_dies_at_any_operation_leaves_a_usable_tier() {
    for after in 0..operations() {
        let world = World::new();
        let tier = world.open();
        world.files.faults.fail(after, u64::MAX, ErrorKind::Other);
        scenario(&tier);
        drop(tier);
        world.files.faults.end();

        let tier = world.open();
        check(&tier, "after the restart");
        assert_eq!(world.counters.corrupt.get(), 0, "died at {after}");
        for key in KEYS {
            put(&tier, key, &body(key, 2, 300)).expect("the tier is usable");
            assert!(
                get(&tier, key) == Some(body(key, 2, 300)),
                "{key}, died at {after}"
            );
        }
        assert_eq!(world.objects().len() as u64, tier.usage().0);
    }
}

#[test]
fn a_disk_that_fails_while_opening_is_left_out_or_empty() {
    let world = World::new();
    put(&world.open(), A, &body(A, 1, LENGTH)).expect("written");
    let before = world.files.faults.done();
    drop(world.open());
    for after in 0..world.files.faults.done() - before {
        world.files.faults.fail(after, u64::MAX, ErrorKind::Other);
        if let Ok(tier) = world.try_open() {
            check(&tier, "with a failing disk");
            let _ = put(&tier, A, &body(A, 2, LENGTH));
            check(&tier, "with a failing disk");
        }
        world.files.faults.end();
        check(&world.open(), "with the disk well again");
    }
}

#[test]
fn an_object_is_refused_when_the_disk_is_full_and_what_was_there_stays() {
    let world = World::new();
    let tier = world.open();
    put(&tier, A, &body(A, 1, LENGTH)).expect("written");
    world.files.faults.fail(1, u64::MAX, ErrorKind::StorageFull);
    let refused = put(&tier, B, &body(B, 1, 1000));
    assert!(
        matches!(refused, Err(WriteError::Io(error)) if error.kind() == ErrorKind::StorageFull)
    );
    world.files.faults.end();
    assert!(get(&tier, A) == Some(body(A, 1, LENGTH)) && get(&tier, B).is_none());
    let size = world
        .objects()
        .iter()
        .map(|f| f.metadata().map_or(0, |m| m.len()))
        .sum::<u64>();
    assert_eq!(tier.usage(), (1, size), "what was set aside was given back");
}

#[test]
fn a_read_that_would_wait_is_finished_by_whoever_may_block() {
    let world = World::new();
    let object = put(&world.open(), A, &body(A, 1, LENGTH)).expect("written");
    world.files.faults.fail(0, 1, ErrorKind::WouldBlock);
    let Read::Waits(waiting) = object.read_now(1000, LENGTH, object.length()) else {
        panic!("it must not wait")
    };
    let bytes = waiting.finish().expect("sound");
    assert!(bytes == body(A, 1, LENGTH)[1000..]);
    assert_eq!(world.counters.waited_reads.get(), 1);

    world.files.faults.fail(0, 2, ErrorKind::WouldBlock);
    let Read::Waits(waiting) = object.read_now(0, LENGTH, object.length()) else {
        panic!("it must not wait")
    };
    assert!(
        waiting.finish().is_err(),
        "the disk fails in the blocking thread"
    );
}
