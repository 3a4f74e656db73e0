use proptest::prelude::*;

use super::*;

fn index_with(files: &[(&str, u64)]) -> Index {
    let index = Index::new(100);
    for (i, (key, size)) in files.iter().enumerate() {
        let (found, changes) = index.publish(key, i as u64, *size, 0);
        assert!(found.is_some() && changes.evicted.is_empty());
    }
    index
}

fn keys(files: &[Known]) -> Vec<&str> {
    files.iter().map(|file| &*file.key).collect()
}

#[test]
fn the_oldest_goes_first_unless_it_was_used() {
    let index = index_with(&[("/a", 40), ("/b", 40)]);
    assert!(index.get("/a").is_some() && index.get("/a").is_some());
    let (_, changes) = index.publish("/c", 9, 40, 0);
    assert_eq!(keys(&changes.evicted), ["/b"]);
    assert_eq!(changes.promoted, [0]);
    assert!(index.peek("/a").is_some() && index.peek("/b").is_none());
    assert_eq!(index.usage(), (2, 80));
}

#[test]
fn a_file_being_written_counts_from_its_first_byte() {
    let index = index_with(&[("/a", 40), ("/b", 40)]);
    assert_eq!(index.reserve(60).map(|c| c.evicted.len()), Some(1));
    assert!(
        index.reserve(41).is_none(),
        "the rest is being written already"
    );
    index.release(60);
    assert!(index.reserve(101).is_none());
    assert!(index.reserve(u64::MAX).is_none());
    assert_eq!(index.usage(), (1, 40));
}

#[test]
fn a_new_file_replaces_the_old_one_of_its_key() {
    let index = index_with(&[("/a", 40)]);
    let old = index.get("/a").expect("stored");
    let (_, changes) = index.publish("/a", 7, 50, 0);
    assert_eq!(changes.replaced.first().map(|file| file.id), Some(0));
    assert!(
        index.remove_found(old).is_none(),
        "the old one is gone already"
    );
    assert_eq!(index.usage(), (1, 50));
}

#[test]
fn a_prefix_takes_out_what_it_covers() {
    let keys: Vec<_> = (0..5000).map(|i| format!("/{}/{i}", i % 2)).collect();
    let index = Index::new(5000);
    for (i, key) in keys.iter().enumerate() {
        index.publish(key, i as u64, 1, 0);
    }
    let (mut removed, mut largest) = (0, 0);
    index.remove_prefix("/1/", |portion| {
        removed += portion.len();
        largest = largest.max(portion.len());
    });
    assert_eq!((removed, index.usage()), (2500, (2500, 2500)));
    assert!(largest <= PORTION);
    assert!(index.peek("/0/0").is_some() && index.peek("/1/1").is_none());
}

proptest! {
    /// Every key leads to the newest file under it that has not left, and no other.
    #[test]
    fn the_index_agrees_with_a_plain_map(acts in proptest::collection::vec((0u8..6, 0u8..30, 1u64..40), 1..300)) {
        let index = Index::new(200);
        let mut plain = std::collections::HashMap::new();
        let mut set_aside = 0;
        for (id, (act, key, size)) in (1u64..).zip(acts) {
            let key = format!("/{key}");
            let changes = match act {
                0..=1 => {
                    let (found, changes) = index.publish(&key, id, size, 0);
                    if let Some(old) = plain.remove(&key) {
                        prop_assert_eq!(changes.replaced.first().map(|file| file.id), Some(old));
                    }
                    if found.is_some() {
                        plain.insert(key, id);
                    }
                    changes
                }
                2 => {
                    prop_assert_eq!(index.remove(&key).map(|file| file.id), plain.remove(&key));
                    Changes::default()
                }
                3 => match index.reserve(size) {
                    Some(changes) => {
                        set_aside += size;
                        changes
                    }
                    None => Changes::default(),
                },
                4 => {
                    index.release(std::mem::take(&mut set_aside));
                    Changes::default()
                }
                _ => {
                    prop_assert_eq!(index.get(&key).map(|found| found.id), plain.get(&key).copied());
                    Changes::default()
                }
            };
            for file in changes.evicted {
                prop_assert_eq!(plain.remove(&*file.key), Some(file.id));
            }
            let (files, bytes) = index.usage();
            prop_assert_eq!(files, plain.len() as u64);
            prop_assert!(bytes + set_aside <= 200);
        }
    }
}
