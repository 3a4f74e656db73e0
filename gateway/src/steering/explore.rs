//! A small share of answers leads to the second-best region, so that the table learns what the model
//! could not know: only where a region that was not measured may turn out to be the better one.
//!
//! Nothing is carried for it. DNS answers and redirects explore; a request that arrives where its client
//! was sent to explore is recognised by the same arithmetic and stays.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::combine::{RttSource, Sources};
use super::{Decision, Prefix, Reason};
use crate::region::RegionIndex;

/// A client explores for this long at a time, in seconds: long enough for the few connections that a
/// measurement needs.
const SLOT: u64 = 300;

/// How much is explored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exploration {
    /// Part of the time that an ambiguous client explores, 0 to 1; 0 is never.
    pub share: f32,
    /// Milliseconds by which the model may put a region behind the best one and still be doubted.
    pub margin_ms: f32,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An answer that says where to go next.
    Answer,
    /// A request that is already in this region.
    Arrived(RegionIndex),
}

/// The place in `decision` that is worth a try: of the usable regions that nobody has measured, the one
/// that the model puts nearest, if it may be as near as the best one but for the margin. A pinned,
/// unknown or failed-open client does not explore.
fn candidate(decision: &Decision, sources: &Sources, margin_ms: f32) -> Option<usize> {
    let first = decision.places.first()?;
    if !matches!(first.reason, Reason::Nearest | Reason::Measured) {
        return None;
    }
    let least_of = |region: RegionIndex| {
        let least = sources.model_ms.get(region.get()).copied();
        least.unwrap_or(f32::INFINITY)
    };
    let places = decision.places.iter().enumerate().skip(1);
    places
        .filter(|(_, place)| place.reason == Reason::Farther && place.source == RttSource::Model)
        .map(|(at, place)| (at, least_of(place.region)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, least)| first.rtt_ms.is_some_and(|best| *least <= best + margin_ms))
        .map(|(at, _)| at)
}

/// Whether this client's network is one that explores now and then: the answer for it then depends on the
/// network, not only on the place.
pub fn may_explore(decision: &Decision, sources: &Sources, exploration: Exploration) -> bool {
    exploration.share > 0.0 && candidate(decision, sources, exploration.margin_ms).is_some()
}

/// Moves the candidate to the front if it is this client's turn: a hash of prefix and time slot, so that
/// all connections of a client go the same way for a while, and nobody else has to agree on it. `now` is
/// in seconds since 1970; regions whose clocks differ by seconds agree but for the edge of a slot.
pub fn explore(
    decision: &mut Decision,
    sources: &Sources,
    exploration: Exploration,
    client: IpAddr,
    now: u64,
    stage: Stage,
) -> bool {
    if exploration.share <= 0.0 {
        return false;
    }
    let Some(at) = candidate(decision, sources, exploration.margin_ms) else {
        return false;
    };
    let goes_there = match stage {
        Stage::Answer => true,
        Stage::Arrived(own) => decision
            .places
            .get(at)
            .is_some_and(|place| place.region == own),
    };
    if !goes_there || draw(Prefix::of(client), now / SLOT) >= exploration.share {
        return false;
    }
    if let Some(places) = decision.places.get_mut(..=at) {
        places.rotate_right(1);
    }
    if let Some(first) = decision.places.first_mut() {
        first.reason = Reason::Explored;
    }
    true
}

/// A number in `[0, 1)` for a prefix and a slot. Other bits than those of `spread`, which would tie
/// exploring to slow start.
fn draw(prefix: Prefix, slot: u64) -> f32 {
    let hash = xxh3_64_with_seed(&prefix.word().to_le_bytes(), slot);
    // The upper 24 bits fit a float exactly.
    (hash >> 40) as f32 / (1_u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use geo_db::{Ranked, Ranking};

    use super::{Exploration, SLOT, Stage, explore};
    use crate::region::RegionIndex;
    use crate::steering::{Decision, Measured, Reason, Standing, decide as ranked_by, spread};

    const UP: Standing = Standing::UP;
    const SOME: Exploration = Exploration {
        share: 0.02,
        margin_ms: 20.0,
    };

    fn decide(
        model: &[u64],
        measured: &[(usize, f32)],
        exploration: Exploration,
        client: IpAddr,
        now: u64,
        stage: Stage,
    ) -> (Decision, bool) {
        let ranked = |(index, millis): (usize, &u64)| Ranked {
            index,
            km: None,
            rtt: Some(Duration::from_millis(*millis)),
            pinned: false,
        };
        let ranking: Ranking = model.iter().enumerate().map(ranked).collect();
        let mut row = [None; crate::region::MAX_REGIONS];
        for (index, millis) in measured {
            row[*index] = Some(*millis);
        }
        let row = Measured::new(row);
        let row = (!measured.is_empty()).then_some(&row);
        let standing = vec![UP; model.len()];
        let (mut decision, sources) =
            ranked_by(ranking, row, &standing, spread(client), RegionIndex(0));
        let explored = explore(&mut decision, &sources, exploration, client, now, stage);
        (decision, explored)
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..20_000_u32).map(|number| Ipv4Addr::from_bits(number << 12).into())
    }

    fn share(model: &[u64], measured: &[(usize, f32)], exploration: Exploration) -> f32 {
        let explored = clients().filter(|client| {
            let (decision, explored) =
                decide(model, measured, exploration, *client, 7, Stage::Answer);
            let first = decision.places[0];
            assert_eq!(explored, first.reason == Reason::Explored);
            assert!(!explored || first.region == RegionIndex(1), "{decision:?}");
            explored
        });
        explored.count() as f32 / 20_000.0
    }

    #[test]
    fn only_the_ambiguous_share_explores_and_none_where_it_is_off() {
        let near = |share: f32| (0.01..0.03).contains(&share);
        assert!(near(share(&[50, 60, 200], &[], SOME)));
        assert!(
            near(share(&[50, 130, 200], &[(0, 120.0)], SOME)),
            "the first is worse than it should be"
        );
        for (why, model, measured) in [
            ("the second is far", &[50, 80, 200][..], &[][..]),
            ("the second was measured", &[50, 60, 200], &[(1, 65.0)]),
            (
                "the first is as good as its model",
                &[50, 90, 200],
                &[(0, 52.0)],
            ),
        ] {
            assert!(share(model, measured, SOME) < f32::EPSILON, "{why}");
        }
        let off = Exploration { share: 0.0, ..SOME };
        assert!(share(&[50, 50, 50], &[], off) < f32::EPSILON);
    }

    #[test]
    fn a_client_goes_one_way_for_a_slot_and_comes_back() {
        let explored = |client, now| decide(&[50, 60], &[], SOME, client, now, Stage::Answer).1;
        let explorer = clients()
            .find(|client| explored(*client, SLOT))
            .expect("2 % do");
        assert!((SLOT..2 * SLOT).all(|now| explored(explorer, now)));
        let slots = (0..1000)
            .filter(|slot| explored(explorer, slot * SLOT))
            .count();
        assert!((5..50).contains(&slots), "{slots} of 1000 slots");
    }

    #[test]
    fn a_request_explores_only_where_it_already_is() {
        let explorer = clients()
            .find(|client| decide(&[50, 60], &[], SOME, *client, 7, Stage::Answer).1)
            .expect("2 % do");
        let at = |own| {
            decide(
                &[50, 60],
                &[],
                SOME,
                explorer,
                7,
                Stage::Arrived(RegionIndex(own)),
            )
            .1
        };
        assert!(at(1), "it was sent here to explore, and stays");
        assert!(!at(0), "nothing is carried to explore");
    }
}
