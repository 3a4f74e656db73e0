use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use proptest::prelude::*;

use super::{Opinion, QuorumPolicy, Sees, Tally, Vote, WhenAllFail, kept_in, limit};
use crate::region::{MAX_REGIONS, RegionIndex};

const POLICY: QuorumPolicy = QuorumPolicy {
    fresh: Duration::from_secs(3),
    hold: Duration::from_secs(3),
    max_removed: 0.5,
    when_all_fail: WhenAllFail::Open,
};

fn votes(words: &[(Sees, u64)]) -> Vec<Vote> {
    (0..)
        .zip(words)
        .map(|(from, (sees, seconds))| Vote {
            from: RegionIndex(from),
            sees: *sees,
            age: Duration::from_secs(*seconds),
        })
        .collect()
}

fn tally(words: &[(Sees, u64)]) -> Tally {
    Tally::of(&votes(words), POLICY.fresh)
}

#[test]
fn more_than_half_of_the_fresh_votes_decide() {
    use Sees::{Answers, Draining, Fails, Unknown};
    for (words, down) in [
        (&[][..], None),
        (&[(Unknown, 0)], None),
        (&[(Fails, 9)], None),
        (&[(Fails, 0)], Some(true)),
        (&[(Answers, 0)], Some(false)),
        (&[(Fails, 0), (Answers, 0)], Some(false)),
        (&[(Fails, 0), (Draining, 0)], Some(false)),
        (&[(Fails, 0), (Answers, 4)], Some(true)),
        (&[(Fails, 0), (Fails, 0), (Answers, 0)], Some(true)),
        (&[(Fails, 0), (Answers, 0), (Answers, 0)], Some(false)),
        (&[(Fails, 4), (Fails, 4), (Answers, 0)], Some(false)),
    ] {
        assert_eq!(tally(words).is_down(), down, "{words:?}");
    }
    assert_eq!(tally(&[(Fails, 4), (Answers, 9)]).stale, 2);
}

#[test]
fn a_word_of_a_newer_gateway_says_nothing() {
    let sees: Sees = serde_json::from_str("\"half_dead\"").unwrap();
    assert_eq!(sees, Sees::Unknown);
}

#[test]
fn a_region_returns_after_it_was_seen_up_for_a_while() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let (up, down) = (tally(&[(Sees::Answers, 0)]), tally(&[(Sees::Fails, 0)]));
    let never_up = Opinion::default()
        .after(down, at(0), &POLICY)
        .after(up, at(1), &POLICY)
        .after(up, at(4), &POLICY);
    assert_eq!((never_up.down_since, never_up.returned_at), (None, None));

    let lost = Opinion::default()
        .after(up, at(0), &POLICY)
        .after(down, at(1), &POLICY);
    assert_eq!(lost.down_since, Some(at(1)));
    let waiting = lost.after(up, at(2), &POLICY).after(up, at(4), &POLICY);
    assert_eq!(waiting.down_since, Some(at(1)));
    let silence = waiting.after(Tally::default(), at(5), &POLICY);
    assert_eq!(silence.down_since, Some(at(1)), "silence is no good news");
    let back = waiting.after(up, at(5), &POLICY);
    assert_eq!((back.down_since, back.returned_at), (None, Some(at(5))));
}

#[test]
fn the_cap_leaves_those_in_that_failed_last() {
    let start = Instant::now();
    let down = (0..4_u8).map(|n| (start - Duration::from_secs(u64::from(n)), RegionIndex(n)));
    let down: ArrayVec<_, MAX_REGIONS> = down.collect();
    let kept = kept_in(down.clone(), 4, &POLICY);
    assert_eq!(kept.as_slice(), [RegionIndex(1), RegionIndex(0)]);
    let closed = QuorumPolicy {
        when_all_fail: WhenAllFail::Closed,
        ..POLICY
    };
    assert!(kept_in(down, 4, &closed).is_empty());
    for (total, most) in [(1, 0), (2, 1), (3, 2), (4, 2), (14, 7)] {
        assert_eq!(limit(total, 0.5), most, "{total}");
    }
}

fn any_sees() -> impl Strategy<Value = Sees> {
    prop_oneof![
        Just(Sees::Answers),
        Just(Sees::Fails),
        Just(Sees::Draining),
        Just(Sees::Unknown)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_votes_some_region_stays_and_the_cap_holds(
        rounds in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((any_sees(), 0..6_u64), 0..13), 1..14), 1..12),
        max_removed in 0.0..=1.0_f32,
    ) {
        let policy = QuorumPolicy { max_removed, ..POLICY };
        let total = rounds[0].len();
        let mut opinions = vec![Opinion::default(); total];
        let start = Instant::now();
        for (second, round) in (0..).zip(&rounds) {
            let now = start + Duration::from_secs(second);
            for (opinion, words) in opinions.iter_mut().zip(round) {
                *opinion = opinion.after(tally(words), now, &policy);
            }
            let down: ArrayVec<_, MAX_REGIONS> = (0..).zip(&opinions)
                .filter_map(|(n, opinion)| Some((opinion.down_since?, RegionIndex(n))))
                .collect();
            let failing = down.len();
            let removed = failing - kept_in(down, total, &policy).len();
            prop_assert!(removed < total, "everything is removed");
            prop_assert!(removed <= limit(total, max_removed));
            prop_assert!(removed == failing.min(limit(total, max_removed)), "no more stays than must");
        }
    }

    #[test]
    fn votes_that_alternate_faster_than_the_hold_change_the_status_once(
        steps in prop::collection::vec((any::<bool>(), 1..1400_u64), 1..200),
    ) {
        let (mut now, mut opinion, mut changes) = (Instant::now(), Opinion::default(), 0);
        let (up, down) = (tally(&[(Sees::Answers, 0)]), tally(&[(Sees::Fails, 0)]));
        // At most two good counts in a row: never good for the whole hold.
        let mut good = 0;
        for (is_up, millis) in steps {
            now += Duration::from_millis(millis);
            good = if is_up && good < 2 { good + 1 } else { 0 };
            let next = opinion.after(if good > 0 { up } else { down }, now, &POLICY);
            changes += u32::from(next.down_since.is_some() != opinion.down_since.is_some());
            opinion = next;
        }
        prop_assert!(changes <= 1, "{changes} changes");
    }

    #[test]
    fn a_single_liar_among_three_or_more_cannot_take_out_a_healthy_region(
        honest in 2..12_usize, rounds in prop::collection::vec(any_sees(), 1..40),
    ) {
        let (mut now, mut opinion) = (Instant::now(), Opinion::default());
        for lie in rounds {
            now += Duration::from_secs(1);
            let mut words = vec![(Sees::Answers, 1); honest];
            words.push((lie, 0));
            opinion = opinion.after(tally(&words), now, &POLICY);
            prop_assert_eq!(opinion.down_since, None);
        }
    }
}
