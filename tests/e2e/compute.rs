//! Calls reach the compute cluster from wherever they enter.

use futures_util::{SinkExt as _, StreamExt as _};
use tests::TestWorld;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

#[tokio::test]
async fn a_job_submitted_in_jakarta_runs_in_new_york_and_its_log_streams_back() {
    let world = TestWorld::start().await;
    let client = world.client_in("ID");
    let submit = client
        .request("POST", "/jobs")
        .header("content-type", "application/json");
    let submitted = client
        .send(submit.body(r#"{"name": "pi", "steps": 3}"#))
        .await;
    assert_eq!(
        (submitted.status.as_u16(), submitted.served_by()),
        (201, "nyc3"),
        "{submitted:?}"
    );
    let job = submitted.header("location").to_owned();

    let response = client
        .request("GET", &format!("{job}/logs"))
        .send()
        .await
        .expect("logs are served");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut frames = response.bytes_stream();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next().await {
        seen.push(frame.expect("the stream does not break"));
    }
    assert!(seen.len() >= 3, "the events came in {} frames", seen.len());
    let result = client.get(&format!("{job}/result")).await;
    assert_eq!(result.status, 200, "{result:?}");
}

#[tokio::test]
async fn a_websocket_passes_through_every_region() {
    let world = TestWorld::start().await;
    for region in world.ready().regions {
        let url = format!("{}/jobs/echo", region.http.replace("http://", "ws://"));
        let mut request = url.into_client_request().expect("it is a URL");
        request.headers_mut().insert(
            "x-forwarded-for",
            "36.66.0.1".parse().expect("it is a header value"),
        );
        let (mut socket, response) = tokio_tungstenite::connect_async(request)
            .await
            .expect(&region.name);
        assert_eq!(response.headers()["x-edge-region"], "nyc3");
        for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
            socket.send(message.clone()).await.expect("it can be sent");
            let echoed = socket
                .next()
                .await
                .expect("it is open")
                .expect("it does not break");
            assert_eq!(echoed, message, "through {}", region.name);
        }
        socket.close(None).await.expect("it can be closed");
    }
}

#[tokio::test]
async fn replicas_share_the_work_and_learn_who_the_client_is() {
    let world = TestWorld::start().await;
    let client = world.client_in("DE");
    let mut hosts = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let answer = client.get("/whoami").await;
        let told = answer.json();
        assert_eq!(told["headers"]["x-forwarded-for"][0], "91.64.0.1", "{told}");
        assert!(told["headers"]["x-edge-hops"].is_null(), "{told}");
        hosts.insert(told["host_name"].to_string());
    }
    assert_eq!(hosts.len(), 3, "{hosts:?}");
}

#[tokio::test]
async fn a_dead_replica_is_noticed_by_nobody() {
    let world = TestWorld::start().await;
    world.whoami[0].stop().await.expect("it can be stopped");
    let client = world.client_in("US");
    for _ in 0..20 {
        let answer = client.get("/whoami").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
