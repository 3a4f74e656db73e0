use std::time::Duration;

use geo_db::Ranked;

use super::{Reason, Standing, rank};
use crate::region::{RegionIndex, Status};

const UP: Standing = Standing {
    has_upstream: true,
    works: true,
    status: Status::Up,
    share: 1.0,
};
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
        Down, Draining, FailOpen, Farther, Nearest, NotWorking, Pinned, SlowStart, UnknownLocation,
        WithoutUpstream,
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

#[test]
fn failing_closed_leaves_nobody_when_everybody_fails_and_changes_nothing_else() {
    let all_down = rank(&known(), &[DOWN; 3], 0.5, RegionIndex(1)).closed();
    assert_eq!(all_down.best(), None);
    let one_up = rank(&known(), &[DOWN, UP, DOWN], 0.5, RegionIndex(1));
    assert_eq!(one_up.clone().closed(), one_up);
}
