use std::time::Duration;

use geo_db::Ranked;

use proptest::prelude::*;

use super::{Reason, Standing, rank};
use crate::region::{RegionIndex, Status};
use crate::steering::Spill;

const UP: Standing = Standing::UP;
const DOWN: Standing = Standing {
    status: Status::Down,
    share: 0.0,
    ..UP
};
const DRAINING: Standing = Standing {
    status: Status::Draining,
    share: 0.0,
    ..UP
};
const RETURNING: Standing = Standing { share: 0.4, ..UP };
const ELSEWHERE: Standing = Standing {
    has_upstream: false,
    ..UP
};

const DRAINED: Standing = Standing {
    is_drained: true,
    ..UP
};
const DRAINED_AND_DOWN: Standing = Standing {
    status: Status::Down,
    ..DRAINED
};
const FOREIGN: Standing = Standing {
    is_resident: false,
    ..UP
};
const LIGHT: Standing = Standing { weight: 0.2, ..UP };
const STANDBY: Standing = Standing { weight: 0.0, ..UP };
const BUSY: Standing = Standing {
    spill: Spill {
        share: 0.5,
        guests_from: 0.0,
        guests: 0.0,
    },
    ..UP
};
const SECOND: Standing = Standing {
    preference: 1,
    ..UP
};
const FIRST: Standing = Standing {
    preference: 0,
    ..UP
};

const BROKEN: Standing = Standing { works: false, ..UP };

/// Region 2 is nearest, then 0, then 1.
fn known() -> Vec<Ranked> {
    [2, 0, 1]
        .map(|index| Ranked {
            index,
            km: Some(1.0),
            rtt: Some(Duration::from_millis(1)),
            pinned: false,
        })
        .to_vec()
}

fn unknown() -> Vec<Ranked> {
    [0, 1, 2]
        .map(|index| Ranked {
            index,
            km: None,
            rtt: None,
            pinned: false,
        })
        .to_vec()
}

/// Region 0 stands first because an override says so.
fn pinned() -> Vec<Ranked> {
    let mut ranked = unknown();
    ranked[0].pinned = true;
    ranked
}

#[test]
fn each_rule_of_the_ranking() {
    use Reason::{
        Down, Drained, Draining, FailOpen, Farther, Full, Nearest, NotWorking, Pinned, Preferred,
        Residency, SlowStart, Spilled, UnknownLocation, Weight, WithoutUpstream,
    };
    for (case, proximity, standing, spread, expected, ideal) in [
        (
            "all up",
            known(),
            [UP, UP, UP],
            0.5,
            [(2, Nearest), (0, Farther), (1, Farther)],
            Some(2),
        ),
        (
            "nearest down",
            known(),
            [UP, UP, DOWN],
            0.5,
            [(0, Nearest), (1, Farther), (2, Down)],
            Some(2),
        ),
        (
            "nearest drains",
            known(),
            [UP, UP, DRAINING],
            0.5,
            [(0, Nearest), (1, Farther), (2, Draining)],
            Some(2),
        ),
        (
            "returning, mine",
            known(),
            [UP, UP, RETURNING],
            0.39,
            [(2, Nearest), (0, Farther), (1, Farther)],
            Some(2),
        ),
        (
            "returning, not mine",
            known(),
            [UP, UP, RETURNING],
            0.4,
            [(0, Nearest), (1, Farther), (2, SlowStart)],
            Some(2),
        ),
        (
            "no upstream",
            known(),
            [UP, UP, ELSEWHERE],
            0.5,
            [(0, Nearest), (1, Farther), (2, WithoutUpstream)],
            Some(0),
        ),
        (
            "nearest has lost what the route needs",
            known(),
            [UP, UP, BROKEN],
            0.5,
            [(0, Nearest), (1, Farther), (2, NotWorking)],
            Some(2),
        ),
        (
            "all have lost it",
            known(),
            [BROKEN, BROKEN, BROKEN],
            0.5,
            [(2, FailOpen), (0, FailOpen), (1, FailOpen)],
            Some(2),
        ),
        (
            "all down",
            known(),
            [DOWN, DOWN, DOWN],
            0.5,
            [(2, FailOpen), (0, FailOpen), (1, FailOpen)],
            Some(2),
        ),
        (
            "all that have it are down",
            known(),
            [DOWN, ELSEWHERE, ELSEWHERE],
            0.5,
            [(0, FailOpen), (2, WithoutUpstream), (1, WithoutUpstream)],
            Some(0),
        ),
        (
            "unknown place",
            unknown(),
            [UP, UP, UP],
            0.5,
            [
                (1, UnknownLocation),
                (0, UnknownLocation),
                (2, UnknownLocation),
            ],
            None,
        ),
        (
            "unknown place, own down",
            unknown(),
            [UP, DOWN, UP],
            0.5,
            [(0, UnknownLocation), (2, UnknownLocation), (1, Down)],
            None,
        ),
        (
            "pinned",
            pinned(),
            [UP, UP, UP],
            0.5,
            [(0, Pinned), (1, UnknownLocation), (2, UnknownLocation)],
            Some(0),
        ),
        (
            "pinned, down",
            pinned(),
            [DOWN, UP, UP],
            0.5,
            [(1, UnknownLocation), (2, UnknownLocation), (0, Down)],
            Some(0),
        ),
        (
            "only a returning one",
            known(),
            [DOWN, DOWN, RETURNING],
            0.9,
            [(2, SlowStart), (0, Down), (1, Down)],
            Some(2),
        ),
        (
            "drained by an operator",
            known(),
            [UP, UP, DRAINED],
            0.5,
            [(0, Nearest), (1, Farther), (2, Drained)],
            Some(2),
        ),
        (
            "a drained one that lives is tried before a dead one",
            known(),
            [DRAINED_AND_DOWN, DRAINED, DOWN],
            0.5,
            [(1, FailOpen), (2, FailOpen), (0, FailOpen)],
            Some(2),
        ),
        (
            "data must not be at the nearest",
            known(),
            [UP, UP, FOREIGN],
            0.5,
            [(0, Nearest), (1, Farther), (2, Residency)],
            Some(0),
        ),
        (
            "fail open stays where data may be",
            known(),
            [DOWN, FOREIGN, FOREIGN],
            0.5,
            [(0, FailOpen), (2, Residency), (1, Residency)],
            Some(0),
        ),
        (
            "a light region, mine",
            known(),
            [UP, UP, LIGHT],
            0.1,
            [(2, Nearest), (0, Farther), (1, Farther)],
            Some(2),
        ),
        (
            "a light region, not mine",
            known(),
            [UP, UP, LIGHT],
            0.5,
            [(0, Nearest), (1, Farther), (2, Weight)],
            Some(2),
        ),
        (
            "a standby has nobody while another lives",
            known(),
            [UP, DOWN, STANDBY],
            0.0,
            [(0, Nearest), (2, Weight), (1, Down)],
            Some(2),
        ),
        (
            "a standby serves when it is alone",
            known(),
            [DOWN, DOWN, STANDBY],
            0.5,
            [(2, Weight), (0, Down), (1, Down)],
            Some(2),
        ),
        (
            "busy, kept",
            known(),
            [UP, UP, BUSY],
            0.49,
            [(2, Nearest), (0, Farther), (1, Farther)],
            Some(2),
        ),
        (
            "busy, sent away",
            known(),
            [UP, UP, BUSY],
            0.5,
            [(0, Nearest), (1, Farther), (2, Spilled)],
            Some(2),
        ),
        (
            "busy, and the next has no room",
            known(),
            [BUSY, UP, BUSY],
            0.5,
            [(1, Nearest), (2, Spilled), (0, Full)],
            Some(2),
        ),
        (
            "nobody has room, so it stays",
            known(),
            [BUSY, BUSY, BUSY],
            0.5,
            [(2, Nearest), (0, Full), (1, Full)],
            Some(2),
        ),
        (
            "a standby takes what a busy one sends away",
            known(),
            [BUSY, STANDBY, BUSY],
            0.5,
            [(1, Weight), (2, Spilled), (0, Full)],
            Some(2),
        ),
        (
            "the list comes before distance",
            known(),
            [SECOND, FIRST, UP],
            0.5,
            [(1, Preferred), (0, Preferred), (2, Farther)],
            Some(1),
        ),
        (
            "the first of the list is down",
            known(),
            [
                SECOND,
                Standing {
                    status: Status::Down,
                    ..FIRST
                },
                UP,
            ],
            0.5,
            [(0, Preferred), (2, Farther), (1, Down)],
            Some(1),
        ),
        (
            "a list for a client without a place",
            unknown(),
            [SECOND, UP, FIRST],
            0.5,
            [(2, Preferred), (0, Preferred), (1, UnknownLocation)],
            Some(2),
        ),
        (
            "a pin beats list and load",
            pinned(),
            [BUSY, FIRST, UP],
            0.9,
            [(0, Pinned), (1, Preferred), (2, UnknownLocation)],
            Some(0),
        ),
    ] {
        let decision = rank(&proximity, &standing, spread, RegionIndex(1));
        let got: Vec<_> = decision
            .places
            .iter()
            .map(|place| (place.region.get(), place.reason))
            .collect();
        assert_eq!(got, expected, "{case}");
        assert_eq!(decision.ideal.map(RegionIndex::get), ideal, "{case}");
    }
}

#[test]
fn the_answer_is_never_empty_while_a_region_has_the_upstream() {
    let statuses = [UP, DOWN, DRAINING, RETURNING, ELSEWHERE, BROKEN];
    for a in statuses {
        for b in statuses {
            for c in statuses {
                let decision = rank(&known(), &[a, b, c], 0.9, RegionIndex(0));
                let possible = [a, b, c].iter().any(|standing| standing.has_upstream);
                assert_eq!(decision.best().is_some(), possible, "{a:?} {b:?} {c:?}");
                assert_eq!(decision.places.len(), 3);
            }
        }
    }
}

fn standing() -> impl Strategy<Value = Standing> {
    let status = prop_oneof![
        Just(Status::Unknown),
        Just(Status::Up),
        Just(Status::Down),
        Just(Status::Draining)
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let parts = (0.0_f32..=1.0, 0.0_f32..=1.0, 0.0_f32..=1.0);
    (status, flags, parts, 0.0_f32..=1.0, 0.0_f32..=1.0, 0_u8..5).prop_map(
        |(status, flags, parts, guests_from, guests, preference)| Standing {
            has_upstream: flags.0,
            is_resident: flags.1,
            is_drained: flags.2,
            works: flags.3,
            status,
            share: parts.0,
            weight: parts.1,
            spill: Spill {
                share: parts.2,
                guests_from,
                guests,
            },
            preference: [Standing::NOT_LISTED, 0, 1, 2, 3][usize::from(preference)],
        },
    )
}

proptest! {
    /// A leak is a defect: wherever health, load and lists stand, and in fail-open, too.
    #[test]
    fn no_place_outside_of_the_residency_is_ever_usable(
        standing in proptest::collection::vec(standing(), 1..=14),
        order in Just((0..14).collect::<Vec<usize>>()).prop_shuffle(),
        pin in 0_usize..20, known in any::<bool>(), spread in 0.0_f32..1.0, own in 0_u8..14,
    ) {
        let proximity: Vec<Ranked> = order.iter().filter(|index| **index < standing.len()).enumerate().map(|(at, index)| Ranked {
            index: *index,
            km: None,
            rtt: known.then(|| Duration::from_millis(at as u64)),
            pinned: at == 0 && pin == *index,
        }).collect();
        let decision = rank(&proximity, &standing, spread, RegionIndex(own));
        for place in decision.usable() {
            let stands = &standing[place.region.get()];
            prop_assert!(stands.is_resident && stands.has_upstream, "{place:?} {stands:?}");
        }
        for region in [decision.ideal, decision.home].into_iter().flatten() {
            prop_assert!(standing[region.get()].is_resident);
        }
        let possible = standing.iter().any(|stands| stands.is_resident && stands.has_upstream);
        prop_assert_eq!(decision.best().is_some(), possible);
        prop_assert_eq!(decision.places.len(), standing.len());
    }
}

#[test]
fn failing_closed_leaves_nobody_when_everybody_fails_and_changes_nothing_else() {
    let all_down = rank(&known(), &[DOWN; 3], 0.5, RegionIndex(1)).closed();
    assert_eq!(all_down.best(), None);
    let one_up = rank(&known(), &[DOWN, UP, DOWN], 0.5, RegionIndex(1));
    assert_eq!(one_up.clone().closed(), one_up);
}
