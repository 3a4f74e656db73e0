//! How does steering behave at a scale that no test machine has: fourteen regions, a million clients in
//! many prefixes, DNS answers that are kept for 30 s, load that is known a second late?
//!
//! The real steering code decides (`rank`, `Balance`, `Health`, the RTT model); only time, network and
//! clients are made up. `cargo bench -p benches --bench steering_simulation [-- CLIENTS]` prints the
//! report; `bounds.rs` holds it to its bounds, smaller, with every test run.

mod clients;
mod scenario;
mod world;

use std::time::Instant;

use scenario::{Plan, Scenario, run};

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let count = numbers.next_back().unwrap_or(1_000_000);
    println!("{count} clients, 14 regions, DNS answers kept for 30 s");
    println!(
        "\n{:<22} {:>8} {:>9} {:>8} {:>8} {:>10} {:>9} {:>5} {:>16} {:>7}",
        "scenario",
        "carried",
        "elsewhere",
        "refused",
        "in room",
        "unanswered",
        "moved in",
        "turns",
        "fullest",
        "took"
    );
    for scenario in Scenario::ALL {
        let plan = match scenario {
            Scenario::LoadWave => Plan {
                begin: 60,
                end: 1800,
                seconds: 1800,
            },
            _ => Plan {
                begin: 120,
                end: 300,
                seconds: 600,
            },
        };
        let start = Instant::now();
        let (fleet, seen) = run(scenario, count, plan);
        let part = |part: f64| format!("{:.3} %", 100.0 * part / seen.requests);
        let (fullest, peak) = (0..)
            .zip(seen.peak)
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .unwrap_or((0, 0.0));
        println!(
            "{:<22} {:>8} {:>9} {:>8} {:>8} {:>10.0} {:>7} s {:>5} {:>9} {:>4.0} % {:>5.0} s",
            scenario.name(),
            part(seen.carried),
            part(seen.elsewhere),
            part(seen.refused),
            part(seen.refused_beside_room),
            seen.unanswered,
            seen.moved_after,
            seen.turns,
            fleet.name(fullest),
            100.0 * peak,
            start.elapsed().as_secs_f32(),
        );
        let peaks: Vec<String> = (0..)
            .zip(seen.peak)
            .map(|(region, peak)| format!("{} {:.0} %", fleet.name(region), 100.0 * peak))
            .collect();
        println!(
            "    peak load: {}; overfull beside room: {} s",
            peaks.join(", "),
            seen.overfull_seconds
        );
    }
}
