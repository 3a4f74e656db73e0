use std::time::Duration;

use proptest::prelude::*;

use super::{Balance, FULLEST, RegionLoad, Spill, SpillPolicy, wanted};

const POLICY: SpillPolicy = SpillPolicy {
    from: 0.75,
    growth: Duration::from_secs(60),
};

/// A region with a capacity of 100 that serves what its users ask, as far as it can.
fn busy(demand: f32) -> RegionLoad {
    RegionLoad {
        capacity: 100.0,
        served: demand.min(75.0),
        demand,
        is_open: true,
    }
}

#[test]
fn a_region_spills_in_proportion_before_it_is_full() {
    let mut before = 1.0;
    for (demand, at_least, at_most) in [
        (50.0, 1.0, 1.0),
        (75.0, 1.0, 1.0),
        (80.0, 0.9, 0.99),
        (100.0, 0.7, 0.85),
        (150.0, 0.5, 0.6),
        (300.0, 0.25, 0.3),
    ] {
        let share = wanted(
            &[busy(demand), busy(0.0), busy(0.0), busy(0.0), busy(0.0)],
            &POLICY,
        )[0]
        .share;
        assert!((at_least..=at_most).contains(&share), "{demand}: {share}");
        assert!(share <= before, "{demand}: {share} after {before}");
        assert!(share * demand <= 90.0, "{demand}: {share}");
        before = share;
    }
}

#[test]
fn nobody_is_sent_away_while_no_other_region_has_room() {
    for others in [
        [busy(99.0), busy(100.0)],
        [RegionLoad::default(), RegionLoad::default()],
        [
            RegionLoad {
                is_open: false,
                ..busy(0.0)
            },
            busy(120.0),
        ],
    ] {
        let loads = [busy(120.0), others[0], others[1]];
        let share = wanted(&loads, &POLICY)[0].share;
        assert!(share > 0.98, "{others:?}: {share}");
    }
    let all_busy = wanted(&[busy(120.0), busy(80.0), busy(80.0)], &POLICY);
    assert!(
        all_busy[0].share < 0.85,
        "there is room above the level where spilling begins: {all_busy:?}"
    );
}

#[test]
fn new_users_are_kept_from_a_region_that_lasting_streams_have_filled() {
    let full = RegionLoad {
        served: 100.0,
        ..busy(80.0)
    };
    assert!(wanted(&[full, busy(0.0)], &POLICY)[0].share < 0.1);
}

#[test]
fn a_share_falls_fast_and_returns_slowly() {
    let second = Duration::from_secs(1);
    let mut balance = Balance::new(2);
    for _ in 0..10 {
        let next = balance.step(&[busy(150.0), busy(0.0)], second, &POLICY);
        assert!(balance.of(0).share - next.of(0).share <= 0.1 + 1e-6);
        balance = next;
    }
    assert!(balance.of(0).share < 0.6);
    let mut seconds = 0;
    while balance.of(0).share < 1.0 {
        let next = balance.step(&[busy(20.0), busy(0.0)], second, &POLICY);
        let grown = next.of(0).share - balance.of(0).share;
        assert!((0.0..=1.0 / 60.0 + 1e-6).contains(&grown), "{grown}");
        balance = next;
        seconds += 1;
        assert!(seconds < 100, "{balance:?}");
    }
    assert!(seconds > 20, "{seconds} s");
}

/// Demand is what it is, whatever the shares are: with what is served following them, late, the share
/// reaches its place and stays there.
#[test]
fn a_delay_of_half_a_minute_makes_no_swing() {
    let second = Duration::from_secs(1);
    let mut balance = Balance::new(2);
    let mut shares = Vec::new();
    for at in 0..300_usize {
        let seen: f32 = shares.get(at.wrapping_sub(31)).copied().unwrap_or(1.0);
        let loads = [
            RegionLoad {
                served: (120.0 * seen).min(100.0),
                ..busy(120.0)
            },
            RegionLoad {
                served: 120.0 * (1.0 - seen),
                ..busy(0.0)
            },
        ];
        balance = balance.step(&loads, second, &POLICY);
        shares.push(balance.of(0).share);
    }
    let turns = shares
        .windows(3)
        .filter(|w| (w[1] - w[0]) * (w[2] - w[1]) < 0.0)
        .count();
    assert!(turns <= 1, "{turns} turns: {shares:?}");
    let last = shares[299];
    assert!((0.6..0.8).contains(&last), "{last}");
    assert!((shares[200] - last).abs() < 0.01, "{shares:?}");
}

fn load() -> impl Strategy<Value = RegionLoad> {
    (0.0_f32..1e4, 0.0_f32..1e4, 0.0_f32..2e4, any::<bool>()).prop_map(
        |(capacity, served, demand, is_open)| RegionLoad {
            capacity,
            served,
            demand,
            is_open,
        },
    )
}

proptest! {
    #[test]
    fn what_is_sent_away_finds_room_and_nobody_goes_to_a_fuller_region(
        loads in proptest::collection::vec(load(), 1..=14)
    ) {
        let wanted = wanted(&loads, &POLICY);
        let away: f32 = loads.iter().zip(&wanted).map(|(load, wanted)| load.demand * (1.0 - wanted.share)).sum();
        let mut places = 0.0;
        for (load, wanted) in loads.iter().zip(&wanted) {
            prop_assert!((0.0..=1.0).contains(&wanted.share) && (0.0..=1.0).contains(&wanted.guests));
            if wanted.guests > 0.0 {
                prop_assert!(load.is_open);
                let filled = load.demand + away * wanted.guests;
                prop_assert!(filled <= load.capacity * FULLEST * 1.001 + 1.0 || wanted.guests * away < 1.0,
                    "{load:?} {wanted:?} {away}");
            }
            places += wanted.guests;
        }
        prop_assert!(away < 1.0 || places > 0.99, "{away} requests, {places} of the places");
    }

    #[test]
    fn every_spilled_client_is_taken_by_somebody_when_the_shares_have_settled(
        loads in proptest::collection::vec(load(), 2..=14), number in 0.0_f32..1.0
    ) {
        let mut balance = Balance::new(loads.len());
        for _ in 0..200 {
            balance = balance.step(&loads, Duration::from_secs(1), &POLICY);
        }
        let spills: Vec<Spill> = (0..loads.len()).map(|at| balance.of(at)).collect();
        let places: f32 = spills.iter().map(|spill| spill.guests).sum();
        let taken = spills.iter().any(|spill| spill.takes(number));
        prop_assert!(taken || places < 1.0001, "{spills:?}");
    }
}
