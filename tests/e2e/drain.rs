//! SIGTERM: what is in flight finishes, then the process ends with 0.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::channel;

use serde_json::json;
use tests::{Gateway, eventually};

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_process_ends() {
    // An upstream that answers when the test says so.
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = upstream.local_addr().expect("it is bound");
    let (answer, may_answer) = channel::<()>();
    let (arrived, has_arrived) = channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = upstream.accept().expect("the gateway connects");
        let _ = stream.read(&mut [0; 4096]);
        let _ = arrived.send(());
        let _ = may_answer.recv();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    });
    let mut configuration = Gateway::configuration();
    configuration["upstreams"] = json!({"slow": {"endpoints": [format!("http://{address}")]}});
    configuration["routes"] = json!([{"name": "slow", "action": {"upstream": {"name": "slow"}}}]);
    let mut gateway = Gateway::start(&configuration, |_| {}).await;

    let client = gateway.client("http");
    let request = tokio::spawn(async move { client.get("/work").await });
    tokio::task::spawn_blocking(move || has_arrived.recv())
        .await
        .expect("it waits")
        .expect("the request arrives");
    gateway.signal("TERM").await;
    let admin = gateway.client("admin");
    eventually("readiness is off", async || {
        admin.get("/readyz").await.status == 503
    })
    .await;
    assert_eq!(admin.get("/livez").await.status, 200);
    let http = gateway.client("http");
    eventually("new connections are refused", async || {
        http.try_get("/work").await.is_err()
    })
    .await;

    answer.send(()).expect("the upstream waits");
    let answered = request.await.expect("the task ends");
    assert_eq!(
        (answered.status.as_u16(), &answered.body[..]),
        (200, &b"done"[..])
    );
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
}
