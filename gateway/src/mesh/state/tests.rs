use std::time::{Duration, Instant};

use super::{MAX_INSTANCES, State};
use crate::mesh::{Instance, Record, Version};
use crate::region::RegionIndex;

const A: RegionIndex = RegionIndex(1);
const THIRD: RegionIndex = RegionIndex(2);
const SECOND: Duration = Duration::from_secs(1);

fn record(instance: u64, started: u64, count: u64) -> Record {
    Record {
        instance,
        version: Version { started, count },
        ..Record::default()
    }
}

#[test]
fn an_older_word_of_the_same_gateway_is_refused_and_a_restarted_one_is_heard() {
    let state = State::new(Instance::started_now());
    let now = Instant::now();
    let say = |instance, started, count| state.hear(A, record(instance, started, count), now);
    assert!(say(7, 100, 5));
    assert!(!say(7, 100, 4));
    assert!(say(7, 100, 6));
    // Started again: a lower count of a later start.
    assert!(say(7, 101, 1));
    // By a clock that is minutes behind.
    assert!(state.hear(A, record(8, 90, 1), now + SECOND));
    assert!(state.heard(RegionIndex(0)).is_none());
    let heard = state.heard(A).unwrap();
    assert_eq!(heard.record.instance, 8);
    assert_eq!(heard.age(now + 4 * SECOND), 3 * SECOND);
}

#[test]
fn a_region_drains_when_all_its_gateways_do_and_the_silent_are_forgotten() {
    let state = State::new(Instance::started_now());
    let now = Instant::now();
    let draining = |instance| Record {
        draining: true,
        ..record(instance, 1, 1)
    };
    state.hear(A, record(1, 1, 1), now);
    state.hear(A, draining(2), now + SECOND);
    assert!(!state.heard(A).unwrap().record.draining);
    state.hear(A, draining(3), now + 11 * SECOND);
    let left: Vec<u64> = state
        .instances(A)
        .iter()
        .map(|word| word.record.instance)
        .collect();
    assert_eq!(left, [3, 2]);
    assert!(state.heard(A).unwrap().record.draining);
    for instance in 10..60 {
        state.hear(A, record(instance, 1, 1), now + 12 * SECOND);
    }
    assert_eq!(state.instances(A).len(), MAX_INSTANCES);
}

#[test]
fn hearsay_counts_only_while_a_region_does_not_speak_for_itself() {
    let state = State::new(Instance::started_now());
    let now = Instant::now();
    let hearsay = |count, age, now| state.hear_of(A, THIRD, record(7, 1, count), age, now);
    assert!(state.misses(A, now));
    assert!(hearsay(1, SECOND, now));
    assert_eq!(state.heard(A).unwrap().via, Some(THIRD));
    assert!(state.misses(A, now), "hearsay is not its own word");

    assert!(state.hear(A, record(7, 1, 2), now));
    assert!(!state.misses(A, now));
    assert!(
        !hearsay(3, Duration::ZERO, now + SECOND),
        "a fresh word of its own"
    );
    assert!(
        !hearsay(1, Duration::ZERO, now + 4 * SECOND),
        "an older version"
    );
    assert!(hearsay(3, Duration::ZERO, now + 4 * SECOND));
    assert!(!hearsay(4, 60 * SECOND, now + 4 * SECOND), "too old");
    // Passed on again it does not grow younger.
    assert!(!hearsay(3, 2 * SECOND, now + 5 * SECOND));
    assert_eq!(state.heard(A).unwrap().at, now + 4 * SECOND);
}
