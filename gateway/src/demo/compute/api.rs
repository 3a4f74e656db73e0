//! The job API's routes.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::job::{JobState, JobStatus};
use super::job_table::JobTable;
use super::problem::Problem;
use super::{echo, log_stream};

/// A job to be submitted is a name and a number.
const MAX_BODY: usize = 16 << 10;

pub(super) fn router(jobs: Arc<JobTable>) -> Router {
    Router::new()
        .route("/jobs", get(list).post(submit))
        .route("/jobs/echo", get(echo::upgrade))
        .route("/jobs/{id}", get(status))
        .route("/jobs/{id}/logs", get(logs))
        .route("/jobs/{id}/result", get(result))
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(jobs)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    name: String,
    #[serde(default = "ten")]
    steps: u32,
}

fn ten() -> u32 {
    10
}

async fn submit(
    State(jobs): State<Arc<JobTable>>,
    Json(job): Json<Submission>,
) -> Result<Response, Problem> {
    let status = jobs.submit(job.name, job.steps)?;
    let location = format!("/jobs/{}", status.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(status)).into_response())
}

async fn list(State(jobs): State<Arc<JobTable>>) -> Json<Vec<JobStatus>> {
    Json(jobs.statuses())
}

async fn status(
    State(jobs): State<Arc<JobTable>>,
    Path(id): Path<String>,
) -> Result<Json<JobStatus>, Problem> {
    Ok(Json(jobs.job(parse(&id)?)?.status()))
}

async fn logs(
    State(jobs): State<Arc<JobTable>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(log_stream::respond(jobs.job(parse(&id)?)?, &headers))
}

async fn result(
    State(jobs): State<Arc<JobTable>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let status = jobs.job(parse(&id)?)?.status();
    match status.state {
        JobState::Succeeded => Ok(Json(
            json!({ "id": status.id, "name": status.name, "pi": status.estimate }),
        )),
        JobState::Queued | JobState::Running => Err(Problem::NotFinished),
    }
}

/// What is no number names no job.
fn parse(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| Problem::NoSuchJob)
}
