//! The task that learns: takes samples in, makes the snapshot and what is told once a second, and writes
//! the file now and then and at the end.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serving::drain::Drain;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{file, unix_now};
use crate::gateway::Edge;

const TICK: Duration = Duration::from_secs(1);
/// Even when nothing changes, measurements grow old.
const REFRESH: Duration = Duration::from_secs(30);
const WRITE: Duration = Duration::from_secs(60);

/// Learns until the drain ends it.
pub(crate) async fn run(edge: Arc<Edge>, drain: Drain) {
    let learning = &edge.learning;
    let queue = learning
        .queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut queue) = queue else {
        return;
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut refreshed, mut written) = (Instant::now(), Instant::now());
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => break,
        }
        batch.clear();
        while let Ok(sample) = queue.try_recv() {
            batch.push(sample);
        }
        let now = unix_now();
        let snapshot = {
            let mut table = learning.table();
            let took = batch
                .iter()
                .filter(|(prefix, rtt)| table.observe(*prefix, *rtt, now))
                .count();
            edge.metrics.rtt_samples.inc_by(took as u64);
            learning.told.store(Arc::new(table.tell(now)));
            if refreshed.elapsed() >= REFRESH {
                refreshed = Instant::now();
                table.forget_old(now);
            }
            table.snapshot_if_changed(now)
        };
        if let Some(snapshot) = snapshot {
            edge.metrics.rtt_prefixes.set(snapshot.len() as i64);
            learning.snapshot.store(Arc::new(snapshot));
        }
        if written.elapsed() >= WRITE {
            written = Instant::now();
            write(&edge).await;
        }
    }
    write(&edge).await;
}

async fn write(edge: &Arc<Edge>) {
    let Some(path) = edge.learning.file.clone() else {
        return;
    };
    let edge = edge.clone();
    let written = tokio::task::spawn_blocking(move || {
        file::store(&path, &edge.regions, &edge.learning.export())
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "learnt round trips could not be written");
    }
}
