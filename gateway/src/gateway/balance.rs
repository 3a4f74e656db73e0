//! The loop beside the requests: notes how busy we are, takes in what the others say of their load and of
//! drain orders, and moves the shares. Everything that is decided is decided in `steering::spill` and
//! `region::drain_order`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use tokio::time::{MissedTickBehavior, interval};

use super::Edge;
use crate::mesh::Heard;
use crate::region::{Load, MAX_REGIONS, RegionIndex, Status};
use crate::steering::RegionLoad;

const INTERVAL: Duration = Duration::from_millis(250);

/// A word about load that is older says nothing any more.
const FRESH: Duration = Duration::from_secs(5);

/// How long a disk that refused the orders is left alone.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// What the loop remembers from one turn to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    at: Instant,
    admitted: u64,
}

/// Runs until the drain ends.
pub(super) async fn run(edge: Arc<Edge>, mut before: Before) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut save_at = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = edge.drain.started() => return,
        }
        before = turn(&edge, before, Instant::now());
        if Instant::now() >= save_at
            && let Err(error) = edge.drains.save().await
        {
            tracing::error!(%error, "drain orders could not be kept; a restart of all gateways would lose them");
            save_at = Instant::now() + SAVE_AGAIN;
        }
    }
}

/// The first turn, before the first request.
pub(super) fn start(edge: &Edge) -> Before {
    let now = Instant::now();
    let before = Before {
        at: now,
        admitted: edge.admission.admitted(),
    };
    turn(edge, before, now)
}

fn turn(edge: &Edge, before: Before, now: Instant) -> Before {
    let elapsed = now.saturating_duration_since(before.at);
    let admitted = edge.admission.admitted();
    let sample = Load {
        capacity: u32::try_from(edge.admission.limit()).unwrap_or(u32::MAX),
        served: edge
            .regions
            .iter()
            .map(|(index, _)| edge.admission.served_for(index) as f32)
            .sum(),
        served_for: edge
            .regions
            .iter()
            .map(|(index, region)| (region.name.to_string(), edge.admission.served_for(index)))
            .map(|(region, served)| (region, served as f32))
            .collect(),
        requests_per_second: if elapsed.is_zero() {
            0.0
        } else {
            admitted.saturating_sub(before.admitted) as f32 / elapsed.as_secs_f32()
        },
    };
    let own = Arc::new(edge.load.load().after(&sample, elapsed));

    let heard: ArrayVec<Option<Arc<Heard>>, MAX_REGIONS> = edge
        .regions
        .iter()
        .map(|(index, _)| edge.state.heard(index))
        .collect();
    for heard in heard.iter().flatten() {
        if edge.drains.hear(&heard.record.drain_orders, now) {
            tracing::info!(from = heard.record.region, "took over drain orders");
        }
    }
    let loads: ArrayVec<Option<&Load>, MAX_REGIONS> = edge
        .regions
        .iter()
        .zip(&heard)
        .map(|((index, _), heard)| match heard {
            _ if index == edge.regions.own_index() => Some(&*own),
            Some(heard) if heard.age(now) <= FRESH => Some(&heard.record.load),
            _ => None,
        })
        .collect();
    let regions: ArrayVec<RegionLoad, MAX_REGIONS> = edge
        .regions
        .iter()
        .map(|(index, region)| {
            RegionLoad::of(
                index.get(),
                region.name.as_str(),
                &loads,
                is_open(edge, index),
            )
        })
        .collect();
    let balance = edge.balance.load().step(&regions, elapsed, &edge.spill);
    for ((index, region), load) in edge.regions.iter().zip(&loads) {
        let kept = balance.of(index.get()).share;
        let drained = edge.drains.is_drained(index);
        let used = load.map_or(0.0, Load::utilisation);
        edge.metrics.load(region, used, kept, drained);
    }
    edge.balance.store(Arc::new(balance));
    edge.load.store(own.clone());
    Before { at: now, admitted }
}

/// Whether a region may be given requests at all.
fn is_open(edge: &Edge, index: RegionIndex) -> bool {
    let lives = if index == edge.regions.own_index() {
        !edge.drain.has_started()
    } else {
        let status = edge.regions.of(index).health().status;
        matches!(status, Status::Up | Status::Unknown)
    };
    lives && !edge.drains.is_drained(index)
}
