use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

use super::{LearningPolicy, Measurement, RttDelta, RttTable};
use crate::region::RegionIndex;
use crate::steering::Prefix;

const POLICY: LearningPolicy = LearningPolicy {
    prefixes: 100,
    min_samples: 3,
    fresh_for: Duration::from_secs(3600),
};
const OWN: RegionIndex = RegionIndex(1);
const OTHER: RegionIndex = RegionIndex(2);
const NOW: u64 = 1_000_000;

fn prefix(number: u32) -> Prefix {
    Prefix::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8)))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn known(table: &RttTable, number: u32, region: RegionIndex, now: u64) -> Option<f32> {
    table
        .snapshot(now)
        .get(prefix(number))
        .and_then(|row| row.to(region))
}

#[test]
fn it_counts_after_enough_samples_and_until_it_is_old() {
    let mut table = RttTable::new(POLICY, OWN);
    for (at, rtt) in [(0, 20), (1, 30)] {
        assert!(table.observe(prefix(1), ms(rtt), NOW + at));
        assert_eq!(known(&table, 1, OWN, NOW + at), None, "too few samples");
    }
    table.observe(prefix(1), ms(400), NOW + 2);
    assert_eq!(
        known(&table, 1, OWN, NOW + 2),
        Some(20.0),
        "the lowest of three"
    );
    assert_eq!(known(&table, 1, OWN, NOW + 3602), Some(20.0));
    assert_eq!(known(&table, 1, OWN, NOW + 3603), None, "it is too old");
    table.observe(prefix(1), ms(50), NOW + 4000);
    assert_eq!(
        known(&table, 1, OWN, NOW + 4000),
        None,
        "counting begins anew"
    );
    assert!(!table.observe(prefix(1), Duration::ZERO, NOW));
    assert!(!table.observe(prefix(1), Duration::from_secs(3), NOW));
}

#[test]
fn what_a_region_says_reaches_the_others_and_only_as_its_own() {
    let mut near = RttTable::new(POLICY, OTHER);
    for number in 0..50 {
        for _ in 0..3 {
            near.observe(prefix(number), ms(5), NOW);
        }
    }
    let mut far = RttTable::new(POLICY, OWN);
    far.hear(OTHER, &near.tell(NOW + 10), 77_000);
    for number in 0..50 {
        assert_eq!(known(&far, number, OTHER, 77_000), Some(5.0));
        assert_eq!(known(&far, number, OWN, 77_000), None);
    }
    assert!(
        far.tell(77_000).0.is_empty(),
        "what was heard is not passed on as ours"
    );
    // Its age came along: it is ten seconds old already.
    assert_eq!(known(&far, 1, OTHER, 77_000 + 3590), Some(5.0));
    assert_eq!(known(&far, 1, OTHER, 77_000 + 3591), None);
}

#[test]
fn a_region_that_missed_every_change_learns_the_whole_table_in_turn() {
    let policy = LearningPolicy {
        prefixes: 5000,
        ..POLICY
    };
    let mut near = RttTable::new(policy, OTHER);
    for number in 0..2000 {
        for _ in 0..3 {
            near.observe(prefix(number), ms(5), NOW);
        }
    }
    // Everything is told while nobody listens.
    for _ in 0..60 {
        assert!(near.tell(NOW).0.len() <= RttDelta::MAX);
    }
    let mut late = RttTable::new(policy, OWN);
    let exchanges = (1..=40).find(|_| {
        late.hear(OTHER, &near.tell(NOW), NOW);
        late.len() == 2000
    });
    assert!(exchanges.is_some_and(|count| count <= 10), "{exchanges:?}");
}

#[test]
fn an_older_word_does_not_replace_a_newer_one() {
    let mut table = RttTable::new(POLICY, OWN);
    let say = |micros, age| RttDelta(vec![(prefix(1).word(), micros, 9, age)]);
    table.hear(OTHER, &say(7000, 5), NOW);
    table.hear(OTHER, &say(9000, 60), NOW);
    assert_eq!(known(&table, 1, OTHER, NOW), Some(7.0));
    table.hear(OTHER, &say(9000, 0), NOW);
    assert_eq!(known(&table, 1, OTHER, NOW), Some(9.0));
}

#[test]
fn what_was_seen_rarely_and_long_ago_goes_first() {
    let mut table = RttTable::new(POLICY, OWN);
    for _ in 0..30 {
        table.observe(prefix(0), ms(10), NOW);
    }
    for number in 1..400 {
        table.observe(prefix(number), ms(10), NOW + 60 + u64::from(number));
        assert!(table.len() <= POLICY.prefixes);
    }
    assert_eq!(known(&table, 0, OWN, NOW + 460), Some(10.0));
}

#[test]
fn what_was_exported_can_be_imported() {
    let mut table = RttTable::new(POLICY, OWN);
    for _ in 0..4 {
        table.observe(prefix(3), Duration::from_micros(12_345), NOW);
    }
    table.hear(OTHER, &RttDelta(vec![(prefix(3).word(), 8000, 5, 1)]), NOW);
    let exported: Vec<_> = table.measurements().collect();
    let mut other = RttTable::new(POLICY, OWN);
    assert!(exported.iter().all(|each| other.import(each, NOW + 5)));
    assert_eq!(other.measurements().collect::<Vec<_>>(), exported);
    assert_eq!(known(&other, 3, OWN, NOW + 5), Some(12.345));
}

fn any_delta() -> impl Strategy<Value = RttDelta> {
    proptest::collection::vec(any::<(u64, u32, u32, u64)>(), 0..600).prop_map(RttDelta)
}

proptest! {
    #[test]
    fn hostile_numbers_are_bounded(
        samples in proptest::collection::vec((0_u32..300, 0_u64..5_000_000, any::<u32>()), 0..600),
        deltas in proptest::collection::vec(any_delta(), 0..3),
        imported in proptest::collection::vec((any::<f64>(), any::<u32>(), any::<u64>(), 0_u8..20), 0..50),
    ) {
        let mut table = RttTable::new(POLICY, OWN);
        for (number, micros, at) in &samples {
            table.observe(prefix(*number), Duration::from_micros(*micros), u64::from(*at));
        }
        for delta in &deltas {
            table.hear(OTHER, delta, NOW);
        }
        for (number, (rtt_ms, samples, measured_at, region)) in (0..).zip(imported) {
            let region = RegionIndex(region);
            table.import(&Measurement { prefix: prefix(number), region, rtt_ms, samples, measured_at }, NOW);
        }
        prop_assert!(table.len() <= POLICY.prefixes);
        prop_assert!(table.tell(NOW).0.len() <= RttDelta::MAX);
        for each in table.measurements() {
            prop_assert!((0.001..=2000.0).contains(&each.rtt_ms), "{}", each.rtt_ms);
        }
    }

    #[test]
    fn an_estimate_lies_between_the_samples(micros in proptest::collection::vec(1_u64..2_000_000, 3..40)) {
        let mut table = RttTable::new(POLICY, OWN);
        for each in &micros {
            table.observe(prefix(1), Duration::from_micros(*each), NOW);
        }
        let estimate = table.measurements().next().map(|each| each.rtt_ms * 1000.0).unwrap_or(0.0);
        let (low, high) = (micros.iter().min().copied(), micros.iter().max().copied());
        prop_assert!(estimate >= low.unwrap_or(0) as f64 - 0.5, "{estimate}");
        prop_assert!(estimate <= high.unwrap_or(0) as f64 + 0.5, "{estimate}");
    }
}
