use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn cache(capacity: u64) -> S3Fifo<u32> {
    S3Fifo::new(capacity)
}

fn add(cache: &mut S3Fifo<u32>, key: u32, size: u64) -> Vec<u32> {
    let mut moved = Moved::default();
    assert!(cache.make_room(size, usize::MAX, &mut moved));
    cache.insert(key, size, key).expect("there is room");
    moved.evicted.iter().map(|(_, _, key)| *key).collect()
}

#[test]
fn the_oldest_that_nobody_asked_for_twice_goes_first() {
    let mut cache = cache(100);
    let handles: Vec<_> = (0..10)
        .map(|key| cache.insert(key, 10, key).expect("room"))
        .collect();
    cache.touch(handles[0]);
    cache.touch(handles[0]);
    cache.touch(handles[1]);
    assert_eq!(add(&mut cache, 10, 10), [1], "one use is not enough");
    assert_eq!(cache.value(handles[0]), Some(&0));
}

#[test]
fn who_comes_back_soon_is_kept_through_a_scan() {
    let mut cache = cache(100);
    for key in 0..12 {
        add(&mut cache, key, 10);
    }
    add(&mut cache, 0, 10); // 0 and 1 had left
    let mut evicted = Vec::new();
    for key in 100..1000 {
        evicted.extend(add(&mut cache, key, 10));
    }
    assert!(!evicted.contains(&0), "it went straight to the main queue");
    assert_eq!(cache.bytes(), 100);
}

#[test]
fn room_is_made_in_portions() {
    let mut cache = cache(100);
    for key in 0..100 {
        add(&mut cache, key, 1);
    }
    let mut moved = Moved::default();
    let mut portions = 1;
    while !cache.make_room(95, 10, &mut moved) {
        portions += 1;
    }
    assert_eq!((portions, moved.evicted.len()), (10, 95));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut cache = cache(100);
    assert!(cache.insert(1, 101, 1).is_none());
    assert!(cache.insert(1, u64::MAX, 1).is_none());
    assert!(cache.insert(1, 100, 1).is_some());
    assert!(cache.insert(2, u64::MAX, 2).is_none(), "the sum overflows");
}

#[derive(Clone, Debug)]
enum Act {
    Insert { key: u32, size: u64 },
    Restore { key: u32, size: u64 },
    Touch(u32),
    Remove(u32),
    MakeRoom(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let (key, size) = (0u32..40, 0u64..400);
    prop_oneof![
        4 => (key.clone(), size.clone()).prop_map(|(key, size)| Act::Insert { key, size }),
        1 => (key.clone(), size).prop_map(|(key, size)| Act::Restore { key, size }),
        4 => key.clone().prop_map(Act::Touch),
        1 => key.prop_map(Act::Remove),
        1 => (0u64..2000).prop_map(Act::MakeRoom),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Beside a plain map of what must be there.
    #[test]
    fn bytes_are_counted_exactly_and_never_exceed_the_capacity(acts in proptest::collection::vec(act(), 1..200)) {
        let mut cache = cache(1000);
        let mut held: HashMap<u32, (Handle, u64)> = HashMap::new();
        for act in acts {
            let mut moved = Moved::default();
            match act {
                Act::Insert { key, size } | Act::Restore { key, size } if !held.contains_key(&key) => {
                    prop_assert!(cache.make_room(size, usize::MAX, &mut moved));
                    let handle = match act {
                        Act::Insert { .. } => cache.insert(key, size, key),
                        _ => cache.insert_into(Queue::Main, key, size, key),
                    };
                    held.insert(key, (handle.expect("room was made"), size));
                }
                Act::Insert { key, .. } | Act::Restore { key, .. } | Act::Touch(key) => {
                    if let Some((handle, _)) = held.get(&key) {
                        cache.touch(*handle);
                    }
                }
                Act::Remove(key) => {
                    if let Some((handle, _)) = held.remove(&key) {
                        prop_assert_eq!(cache.remove(handle), Some(key));
                        prop_assert_eq!(cache.remove(handle), None, "it is gone");
                    }
                }
                Act::MakeRoom(bytes) => {
                    prop_assert!(cache.make_room(bytes, usize::MAX, &mut moved));
                    prop_assert!(cache.bytes() + bytes <= 1000 || cache.is_empty());
                }
            }
            for (_, hash, key) in moved.evicted {
                prop_assert_eq!(hash, key);
                prop_assert!(held.remove(&key).is_some(), "{} left twice", key);
            }
            prop_assert!(cache.bytes() <= 1000);
            prop_assert_eq!(cache.bytes(), held.values().map(|(_, size)| size).sum::<u64>());
            prop_assert_eq!(cache.len(), held.len());
            for (key, (handle, size)) in &held {
                prop_assert_eq!((cache.value(*handle), cache.size(*handle)), (Some(key), Some(*size)));
            }
            let walked: usize = (0..cache.pages()).map(|page| cache.page(page).count()).sum();
            prop_assert_eq!(walked, held.len());
        }
    }
}
