//! What happens to the fleet, second by second, and what is seen of it.

use gateway::region::RegionIndex;
use gateway::steering::Standing;

use crate::clients::{Clients, TTL, activity};
use crate::world::{Fleet, REGIONS};

/// Requests in flight of one client in its afternoon: one of 200 ms every four seconds.
const IN_FLIGHT: f32 = 0.05;

/// How much more the fleet can take than all clients ask in the mean.
const SPARE: f32 = 1.9;

/// A part of its capacity that a region does not fill while others have room, as `Admission::is_full`.
const FULL: f32 = 0.95;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A busy region dies, and stays away.
    RegionLoss,
    /// The mesh falls into halves, and is whole again.
    Partition,
    /// The link between two regions comes and goes, every few seconds.
    FlappingLink,
    /// A region dies and comes back with a third of its capacity, which grows.
    SlowRecovery,
    /// A day goes round the world.
    LoadWave,
}

impl Scenario {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::RegionLoss,
        Self::Partition,
        Self::FlappingLink,
        Self::SlowRecovery,
        Self::LoadWave,
    ];

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RegionLoss => "region loss",
            Self::Partition => "partition into halves",
            Self::FlappingLink => "flapping link",
            Self::SlowRecovery => "slow recovery",
            Self::LoadWave => "load wave",
        }
    }
}

/// Seconds of each scenario: all settles, it happens, it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// When it begins.
    pub(crate) begin: usize,
    /// When its cause is gone.
    pub(crate) end: usize,
    /// When we stop looking.
    pub(crate) seconds: usize,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests, in request-seconds in flight.
    pub(crate) requests: f64,
    /// Of those, that entered at another region than the one that served them.
    pub(crate) carried: f64,
    /// Served elsewhere than in the nearest region that runs.
    pub(crate) elsewhere: f64,
    /// Refused because the region that should serve them was full.
    pub(crate) refused: f64,
    /// Of those, while another region that runs was below the level up to which they are filled.
    pub(crate) refused_beside_room: f64,
    /// Client-seconds without an address that answers.
    pub(crate) unanswered: f64,
    /// Seconds after it began in which more than one of 100 requests entered elsewhere than where it was
    /// served, the last of them; looked at until two minutes after its end.
    pub(crate) moved_after: usize,
    /// Highest part of its capacity that each region was asked to serve.
    pub(crate) peak: [f32; REGIONS],
    /// Longest time in which a region was asked for more than its capacity while others had room, in
    /// seconds.
    pub(crate) overfull_seconds: usize,
    /// The most often that the share of one region has turned round, by more than a twentieth.
    pub(crate) turns: usize,
}

/// Runs a scenario with this many clients. Virtual time: nothing waits.
pub(crate) fn run(scenario: Scenario, count: usize, plan: Plan) -> (Fleet, Seen) {
    let asked = count as f32 * IN_FLIGHT * activity_in_the_mean();
    let mut fleet = Fleet::new(asked * SPARE / REGIONS as f32);
    let mut clients = Clients::new(count, &fleet.costs);
    let indices: Vec<RegionIndex> = fleet.regions.iter().map(|(index, _)| index).collect();
    let names = names();
    let mut seen = Seen::default();
    let mut served_for = [[0.0; REGIONS]; REGIONS];
    let (mut shares, mut overfull): (Vec<[f32; REGIONS]>, [usize; REGIONS]) =
        (Vec::new(), [0; REGIONS]);
    let (mut last_unsettled, mut lost) = (plan.begin, 0);
    for second in 0..plan.seconds {
        let before = fleet.alive;
        happen(scenario, second, plan, &mut fleet, asked);
        if fleet.alive != before {
            lost = clients.alive_changed(&fleet.alive);
        }
        fleet.exchange(second, &served_for, |one, other| {
            linked(scenario, second, plan, &names, one, other)
        });
        let standings: Vec<Vec<Standing>> = (0..REGIONS)
            .map(|observer| fleet.standing(observer, second, false))
            .collect();

        // Resolvers ask the name server that answers first.
        let alive = fleet.alive;
        let dns = |_: usize, prefix: &crate::clients::Prefix| {
            let mut near = prefix.ranking.iter().map(|near| near.index);
            let server = near.find(|region| alive[*region]).unwrap_or(0);
            fleet.answer(prefix, &standings[server], indices[server])
        };
        if second == 0 {
            clients.ask_all(&alive, dns);
        } else {
            clients.ask(second, &alive, dns);
            lost = lost.saturating_sub(clients.len() / TTL);
        }
        seen.unanswered += lost as f64;

        // Requests, prefix by prefix; shares do not know of this second yet, but fullness does.
        let day = match scenario {
            Scenario::LoadWave => second as f32 / plan.seconds as f32,
            _ => 0.0,
        };
        served_for = [[0.0; REGIONS]; REGIONS];
        let mut served = [0.0_f32; REGIONS];
        let mut refusals = 0.0;
        let (mut all, mut carried) = (0.0, 0.0);
        for prefix in &clients.prefixes {
            let each = match scenario {
                Scenario::LoadWave => IN_FLIGHT * activity(prefix.turn, day),
                _ => IN_FLIGHT * activity_in_the_mean(),
            };
            let nearest = prefix.ranking.iter().map(|near| near.index);
            let nearest = nearest.clone().find(|region| alive[*region]);
            for entry in (0..REGIONS).filter(|entry| prefix.entering[*entry] > 0) {
                let requests = each * prefix.entering[entry] as f32;
                let full = served[entry] >= FULL * fleet.capacity[entry];
                let takes = |to: usize| {
                    let is_near = to == entry || linked(scenario, second, plan, &names, entry, to);
                    alive[to] && is_near && served[to] + requests <= fleet.capacity[to]
                };
                let (to, home) = if full {
                    let standing = fleet.standing(entry, second, true);
                    fleet.steer(prefix, &standing, indices[entry], takes)
                } else {
                    fleet.steer(prefix, &standings[entry], indices[entry], takes)
                };
                all += requests;
                carried += if to == entry { 0.0 } else { requests };
                seen.elsewhere += if Some(to) == nearest {
                    0.0
                } else {
                    f64::from(requests)
                };
                seen.peak[to] = seen.peak[to].max((served[to] + requests) / fleet.capacity[to]);
                let room = (fleet.capacity[to] - served[to]).max(0.0);
                let taken = requests.min(room);
                served[to] += taken;
                served_for[to][home] += taken;
                refusals += requests - taken;
            }
        }
        let room: f32 = (0..REGIONS)
            .filter(|region| alive[*region])
            .map(|region| (0.75 * fleet.capacity[region] - served[region]).max(0.0))
            .sum();
        seen.requests += f64::from(all);
        seen.carried += f64::from(carried);
        seen.refused += f64::from(refusals);
        if second >= plan.begin {
            seen.refused_beside_room += f64::from(refusals.min(room));
        }
        if carried > 0.01 * all && second >= plan.begin && second < plan.end + 120 {
            last_unsettled = second;
        }
        for region in 0..REGIONS {
            let over = served[region] >= 0.999 * fleet.capacity[region] && room > refusals.max(1.0);
            overfull[region] = if over && alive[region] {
                overfull[region] + 1
            } else {
                0
            };
            if second >= TTL {
                seen.overfull_seconds = seen.overfull_seconds.max(overfull[region]);
            }
        }
        if second >= plan.begin {
            shares.push(std::array::from_fn(|region| fleet.share(region)));
        }
    }
    seen.moved_after = last_unsettled - plan.begin;
    seen.turns = (0..REGIONS)
        .map(|region| turns(shares.iter().map(|shares| shares[region])))
        .max()
        .unwrap_or(0);
    (fleet, seen)
}

fn activity_in_the_mean() -> f32 {
    (0..24)
        .map(|hour| activity(0.0, hour as f32 / 24.0))
        .sum::<f32>()
        / 24.0
}

/// The names of the catalogue, by index.
fn names() -> [&'static str; REGIONS] {
    std::array::from_fn(|region| geo_db::catalogue()[region].slug.as_str())
}

/// What is done to the regions at this second.
fn happen(scenario: Scenario, second: usize, plan: Plan, fleet: &mut Fleet, asked: f32) {
    let (during, lon) = (
        second >= plan.begin && second < plan.end,
        fleet.index("lon1"),
    );
    match scenario {
        Scenario::RegionLoss => fleet.alive[lon] = second < plan.begin,
        Scenario::SlowRecovery => {
            fleet.alive[lon] = !during;
            if second >= plan.end {
                let grown = (second - plan.end) as f32 / 120.0;
                fleet.capacity[lon] = asked * SPARE / REGIONS as f32 * (0.33 + grown).min(1.0);
            }
        }
        Scenario::Partition | Scenario::FlappingLink | Scenario::LoadWave => {}
    }
}

/// Whether two regions reach each other at this second.
fn linked(
    scenario: Scenario,
    second: usize,
    plan: Plan,
    names: &[&str; REGIONS],
    one: usize,
    other: usize,
) -> bool {
    let during = second >= plan.begin && second < plan.end;
    let is_east =
        |region: usize| ["lon1", "ams3", "fra1", "blr1", "sgp1", "syd1"].contains(&names[region]);
    let pair = [names[one], names[other]];
    match scenario {
        Scenario::Partition if during => is_east(one) == is_east(other),
        Scenario::FlappingLink if during => {
            !(pair.contains(&"lon1") && pair.contains(&"fra1") && (second / 4).is_multiple_of(2))
        }
        _ => true,
    }
}

/// How often a line turns round, if wobbles of a twentieth do not count.
fn turns(line: impl Iterator<Item = f32>) -> usize {
    let (mut turns, mut rising, mut extreme) = (0, None, None);
    for value in line {
        let best: &mut f32 = extreme.get_or_insert(value);
        match rising {
            Some(true) if value < *best - 0.05 => {
                (turns, rising, *best) = (turns + 1, Some(false), value);
            }
            Some(false) if value > *best + 0.05 => {
                (turns, rising, *best) = (turns + 1, Some(true), value);
            }
            Some(true) => *best = best.max(value),
            Some(false) => *best = best.min(value),
            None if value > *best + 0.05 => (rising, *best) = (Some(true), value),
            None if value < *best - 0.05 => (rising, *best) = (Some(false), value),
            None => {}
        }
    }
    turns
}
