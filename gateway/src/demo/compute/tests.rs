//! The job API over real connections.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::super::test_client::{open, request};
use super::*;

async fn cluster() -> Compute {
    let options = ComputeOptions {
        step_pause: Duration::ZERO,
        jobs_kept: 3,
        ..ComputeOptions::default()
    };
    Compute::start(options).await.unwrap()
}

/// A cluster whose jobs never get past their first step while a test lasts.
async fn slow_cluster() -> Compute {
    let options = ComputeOptions {
        step_pause: Duration::from_secs(3600),
        jobs_kept: 2,
        ..ComputeOptions::default()
    };
    Compute::start(options).await.unwrap()
}

async fn get(cluster: &Compute, path: &str) -> Response<Bytes> {
    request(
        cluster.addr(),
        Request::get(path).body(String::new()).unwrap(),
    )
    .await
}

async fn submit(cluster: &Compute, body: &str) -> Response<Bytes> {
    let post = Request::post("/jobs").header("content-type", "application/json");
    request(cluster.addr(), post.body(body.to_owned()).unwrap()).await
}

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn a_job_runs_from_its_submission_to_its_result_and_tells_its_log() {
    let cluster = cluster().await;
    let created = submit(&cluster, r#"{"name": "darts", "steps": 3}"#).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let job = created.headers()["location"].to_str().unwrap();

    // The log ends when the job does, so there is nothing to wait for.
    let log = get(&cluster, &format!("{job}/logs")).await;
    assert_eq!(log.headers()["content-type"], "text/event-stream");
    let log = String::from_utf8(log.body().to_vec()).unwrap();
    assert!(
        log.starts_with("event: log\nid: 1\ndata: darts: queued, 3 steps\n\n"),
        "{log}"
    );
    assert!(
        log.contains("id: 5\ndata: step 3 of 3: pi is about 3."),
        "{log}"
    );
    assert!(
        log.ends_with("event: end\ndata: no more lines\n\n"),
        "{log}"
    );

    let status = json(&get(&cluster, job).await);
    assert_eq!(
        (&status["state"], &status["steps_done"]),
        (&"succeeded".into(), &3.into())
    );
    let pi = json(&get(&cluster, &format!("{job}/result")).await)["pi"]
        .as_f64()
        .unwrap();
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{pi}");
}

#[tokio::test]
async fn a_log_is_resumed_after_the_last_event_and_over_after_the_end() {
    let cluster = cluster().await;
    submit(&cluster, r#"{"name": "darts", "steps": 2}"#).await;
    get(&cluster, "/jobs/1/logs").await;
    let resume = |id: &str| {
        Request::get("/jobs/1/logs")
            .header("last-event-id", id)
            .body(String::new())
            .unwrap()
    };

    let rest = request(cluster.addr(), resume("4")).await;
    assert!(
        rest.body()
            .starts_with(b"event: log\nid: 5\ndata: succeeded\n\n"),
        "{:?}",
        rest.body()
    );
    let nothing = request(cluster.addr(), resume("5")).await;
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_log_is_sent_line_by_line_while_the_job_runs() {
    let cluster = slow_cluster().await;
    submit(&cluster, r#"{"name": "slow"}"#).await;
    let logs = Request::get("/jobs/1/logs").body(String::new()).unwrap();
    let mut body = open(cluster.addr(), logs).await.into_body();
    let mut heard = Vec::new();
    while !heard.ends_with(b"data: started\n\n") {
        heard.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(json(&get(&cluster, "/jobs/1").await)["state"], "running");
    assert_eq!(
        get(&cluster, "/jobs/1/result").await.status(),
        StatusCode::CONFLICT
    );
}

#[tokio::test]
async fn only_so_many_jobs_are_kept_and_none_that_runs_is_dropped() {
    let cluster = cluster().await;
    for id in 1..=4 {
        submit(&cluster, r#"{"name": "darts", "steps": 1}"#).await;
        get(&cluster, &format!("/jobs/{id}/logs")).await;
    }
    let ids: Vec<_> = json(&get(&cluster, "/jobs").await)
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].clone())
        .collect();
    assert_eq!(ids, [2, 3, 4]);
    assert_eq!(
        get(&cluster, "/jobs/1").await.status(),
        StatusCode::NOT_FOUND
    );

    let busy = slow_cluster().await;
    submit(&busy, r#"{"name": "one"}"#).await;
    submit(&busy, r#"{"name": "two"}"#).await;
    let refused = submit(&busy, r#"{"name": "three"}"#).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let cluster = cluster().await;
    for body in [
        r#"{"name": ""}"#,
        r#"{"name": "a", "steps": 0}"#,
        r#"{"name": "a", "steps": 1001}"#,
        r#"{"x": 1}"#,
    ] {
        assert_eq!(
            submit(&cluster, body).await.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}"
        );
    }
    let huge = format!(r#"{{"name": "{}"}}"#, "a".repeat(20_000));
    assert_eq!(
        submit(&cluster, &huge).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    for path in ["/jobs/7", "/jobs/x/logs", "/jobs/-1/result"] {
        assert_eq!(
            get(&cluster, path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_echo_repeats_text_and_bytes_and_answers_pings() {
    let cluster = cluster().await;
    let url = format!("ws://{}/jobs/echo", cluster.addr());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![0, 255])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket
        .send(Message::Ping(Bytes::from_static(b"?")))
        .await
        .unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"?"))
    );
    socket.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
}
