//! Which of several asset servers holds an object: rendezvous hashing with bounded loads.
//!
//! Every endpoint gets a score for a key, and the highest is its place (Thaler and Ravishankar, "Using
//! Name-Based Mappings to Increase Hit Rates", 1998). That is one short
//! hash for each of some tens of endpoints and no table that would have to be rebuilt, and an endpoint that
//! comes or goes moves only the keys that it wins or held. Where it is full, the next in the key's own order helps out (Mirrokni,
//! Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016), so that one popular object
//! spreads over several and the rest stay where they are.
//!
//! Scores are XXH3 64 of the key, seeded with XXH3 64 of the endpoint's scheme and authority: the same in
//! every gateway, process and version, since all gateways of a region must agree. A change here moves every
//! object once.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How much more than its even share an endpoint may have in flight: c = 1.25, in percent.
const BOUND_PERCENT: usize = 125;

/// What an endpoint may always have in flight. Among so few requests "even" means nothing, and sending two
/// at once to two places would only fetch the object twice.
const ALWAYS: usize = 32;

/// What an endpoint is known by in scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(u64);

impl Seed {
    /// The seed of an endpoint, by its URL.
    pub(super) fn of(url: &str) -> Self {
        Self(xxh3_64(url.as_bytes()))
    }
}

/// Places in `endpoints` from the key's own to the last resort.
pub(super) fn rank(key: &[u8], endpoints: impl Iterator<Item = Seed>) -> Vec<usize> {
    let mut scored: Vec<(u64, usize)> = endpoints
        .enumerate()
        .map(|(place, seed)| (xxh3_64_with_seed(key, seed.0), place))
        .collect();
    scored.sort_unstable_by(|a, b| b.cmp(a));
    scored.into_iter().map(|(_, place)| place).collect()
}

/// The first place in `order` that may take one request more, given the requests in flight of each place
/// that is usable, and `None` for the others. If all are full, the first that is usable.
pub(super) fn first_with_room(
    order: &[usize],
    load: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let usable = || {
        order
            .iter()
            .filter_map(|place| Some((*place, load(*place)?)))
    };
    let (count, total) = usable().fold((0, 0), |(count, total), (_, load)| {
        (count + 1, total + load)
    });
    let bound = bound(total, count);
    usable()
        .find(|(_, load)| *load < bound)
        .or_else(|| usable().next())
        .map(|(place, _)| place)
}

/// Requests in flight that one of `count` endpoints may have when there are `total` and one more comes.
fn bound(total: usize, count: usize) -> usize {
    let even = (total + 1).saturating_mul(BOUND_PERCENT);
    even.div_ceil(100 * count.max(1)).max(ALWAYS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeds(names: std::ops::Range<usize>) -> Vec<Seed> {
        names
            .map(|n| Seed::of(&format!("http://10.0.0.{n}:8080")))
            .collect()
    }

    fn key(n: usize) -> Vec<u8> {
        format!("/assets/models/{n}/weights.bin").into_bytes()
    }

    fn owner(n: usize, seeds: &[Seed]) -> usize {
        rank(&key(n), seeds.iter().copied())[0]
    }

    #[test]
    fn scores_are_the_same_in_every_version() {
        assert_eq!(
            Seed::of("http://10.0.0.1:8080"),
            Seed(xxh3_64(b"http://10.0.0.1:8080"))
        );
        let order = rank(b"/assets/logo.svg", seeds(1..6).into_iter());
        assert_eq!(order, EXPECTED_ORDER);
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2, "XXH3 as published");
    }

    const EXPECTED_ORDER: [usize; 5] = [3, 1, 4, 0, 2];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn one_endpoint_more_or_less_moves_its_share_and_nothing_else(count in 2..40_usize, gone in 0..40_usize) {
            const KEYS: usize = 4_000;
            let gone = gone % count;
            let all = seeds(0..count);
            let mut fewer = all.clone();
            fewer.remove(gone);
            let mut moved = 0;
            for n in 0..KEYS {
                let (before, after) = (owner(n, &all), owner(n, &fewer));
                let after = if after >= gone { after + 1 } else { after };
                if before == gone {
                    moved += 1;
                } else {
                    prop_assert_eq!(before, after, "key {} moved between two that stayed", n);
                }
            }
            // Half as much again as its share, and some: five standard deviations at the least.
            let share = KEYS / count;
            prop_assert!(moved <= share + share / 2 + 60, "{moved} of {KEYS} with {count}");
            prop_assert!(moved + share / 2 + 60 >= share, "{moved} of {KEYS} with {count}");
        }

        #[test]
        fn nobody_has_more_than_the_bound(count in 1..20_usize, requests in 1..4_000_usize, popular in 1..50_usize) {
            let seeds = seeds(0..count);
            let mut loads = vec![0; count];
            for request in 0..requests {
                let order = rank(&key(request % popular), seeds.iter().copied());
                let before: usize = loads.iter().sum();
                let place = first_with_room(&order, |place| Some(loads[place])).expect("there is one");
                loads[place] += 1;
                prop_assert!(loads[place] <= bound(before, count), "{loads:?}");
            }
        }

        #[test]
        fn who_is_down_is_skipped_and_gets_its_keys_back(count in 2..20_usize, n: usize) {
            let order = rank(&key(n), seeds(0..count).into_iter());
            let down = order[0];
            let without = first_with_room(&order, |place| (place != down).then_some(0));
            prop_assert_eq!(without, Some(order[1]));
            prop_assert_eq!(first_with_room(&order, |_| Some(0)), Some(down));
            prop_assert_eq!(first_with_room(&order, |_| None), None);
        }
    }
}
