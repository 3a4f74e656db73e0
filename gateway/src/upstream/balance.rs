//! Which of several endpoints: the less loaded of two chosen at random, which is nearly as even as
//! asking all of them and never sends everybody to the same one (Mitzenmacher, "The Power of Two
//! Choices in Randomized Load Balancing", 2001).

use std::ops::Range;

/// An index below `count`, or `None` where there is none. `random` draws from a range.
pub(super) fn least_loaded_of_two(
    count: usize,
    mut random: impl FnMut(Range<usize>) -> usize,
    load: impl Fn(usize) -> usize,
) -> Option<usize> {
    match count {
        0 => None,
        1 => Some(0),
        _ => {
            let one = random(0..count);
            // Any other: skip over the first choice.
            let other = random(0..count - 1);
            let other = if other >= one { other + 1 } else { other };
            Some(if load(other) < load(one) { other } else { one })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::least_loaded_of_two;

    #[test]
    fn the_less_loaded_of_two_different_ones_is_taken() {
        let loads = [5, 1, 9];
        for (draws, expected) in [
            ([0, 0], 1),
            ([0, 1], 0),
            ([1, 0], 1),
            ([2, 0], 0),
            ([2, 1], 1),
        ] {
            let mut draws = draws.into_iter();
            let index = least_loaded_of_two(
                3,
                |range| draws.next().filter(|draw| range.contains(draw)).unwrap(),
                |i| loads[i],
            );
            assert_eq!(index, Some(expected));
        }
        assert_eq!(least_loaded_of_two(0, |_| 0, |_| 0), None);
        assert_eq!(least_loaded_of_two(1, |_| 0, |_| 0), Some(0));
    }
}
