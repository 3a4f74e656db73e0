//! The demo's compute cluster: a small job API, as behind a real edge.
//!
//! A job estimates π by throwing darts, a little at each step, so it has a status that changes, a log
//! that grows and a result that was worked for. Nothing lasts: jobs are in memory, and only so many.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /jobs` `{"name": …, "steps": …}` | 201 and `Location`; 503 when every job kept is unfinished |
//! | `GET /jobs`, `GET /jobs/{id}` | status |
//! | `GET /jobs/{id}/logs` | the log as server-sent events, live; `Last-Event-ID` resumes |
//! | `GET /jobs/{id}/result` | the value; 409 while it is worked on |
//! | `GET /jobs/echo` | a WebSocket that repeats what it is told |
//! | `GET /healthz` | 200 |

mod api;
mod echo;
mod job;
mod job_table;
mod log_stream;
mod pi;
mod problem;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;

pub use self::job::{JobState, JobStatus};

use self::job_table::JobTable;
use super::local_server::LocalServer;

/// How much the cluster does, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct ComputeOptions {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// How long a step takes beyond its computation.
    pub step_pause: Duration,
    /// How many jobs are kept; the oldest finished one makes room.
    pub jobs_kept: usize,
    /// How many run at once; the others wait.
    pub jobs_at_once: usize,
}

impl Default for ComputeOptions {
    fn default() -> Self {
        Self {
            port: 0,
            step_pause: Duration::from_millis(500),
            jobs_kept: 200,
            jobs_at_once: 4,
        }
    }
}

/// The cluster's API on loopback; it ends when this value is dropped.
#[derive(Debug)]
pub struct Compute {
    server: LocalServer<TowerToHyperService<Router>>,
}

impl Compute {
    /// Starts a cluster without jobs.
    pub async fn start(options: ComputeOptions) -> io::Result<Self> {
        let router = api::router(JobTable::new(options));
        let server = LocalServer::start(options.port, TowerToHyperService::new(router)).await?;
        Ok(Self { server })
    }

    /// Where it listens, also while stopped.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Takes the API away: connections are refused, and open ones are cut. Jobs go on.
    pub async fn stop(&self) -> io::Result<()> {
        self.server.stop().await
    }

    /// Brings it back on the same port.
    pub async fn restart(&self) -> io::Result<()> {
        self.server.restart().await
    }
}

#[cfg(test)]
mod tests;
