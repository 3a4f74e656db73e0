//! Upstreams that misbehave: every cut names its timer, and what is safe to repeat is repeated.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::{Client, Gateway};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections `behave` handles, each in a task of its own.
async fn upstream<F, R>(behave: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    address
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("it is bound")
}

async fn gateway(endpoints: &[SocketAddr], timeouts: Value) -> Gateway {
    let mut configuration = Gateway::configuration();
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|address| format!("http://{address}"))
        .collect();
    configuration["upstreams"] = json!({"jobs": {"endpoints": endpoints, "timeouts": timeouts}});
    configuration["routes"] = json!([{"name": "jobs", "action": {"upstream": {"name": "jobs"}}}]);
    Gateway::start(&configuration, |_| {}).await
}

async fn reason(client: &Client, method: &str) -> (u16, String) {
    let answer = client.send(client.request(method, "/").body("body")).await;
    (
        answer.status.as_u16(),
        answer.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Reads the head and a body of `length` bytes, then answers with what it read.
async fn echo(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"body") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody")
        .await;
}

#[tokio::test]
async fn silence_is_cut_by_the_first_byte_timer_and_says_so() {
    let silent = upstream(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let gateway = gateway(&[silent], json!({"first_byte": "100ms"})).await;
    assert_eq!(
        reason(&gateway.client("http"), "POST").await,
        (504, "first_byte_timeout".into())
    );
}

#[tokio::test]
async fn a_body_that_falls_silent_is_cut_and_does_not_look_whole() {
    let stalling = upstream(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let gateway = gateway(&[stalling], json!({"idle": "100ms"})).await;
    let cut = gateway.client("http").try_get("/").await;
    assert!(cut.is_err(), "{cut:?}");
}

#[tokio::test]
async fn nobody_there_is_a_connect_error_without_an_address() {
    let address = nobody().await;
    let gateway = gateway(&[address], json!({})).await;
    let client = gateway.client("http");
    let answer = client.get("/").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["reason"]),
        (502, &json!("connect"))
    );
    assert!(
        !String::from_utf8_lossy(&answer.body).contains(&address.port().to_string()),
        "{answer:?}"
    );
    assert!(
        answer
            .header("proxy-status")
            .contains("error=connection_refused"),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn a_request_with_a_body_moves_on_from_an_endpoint_that_nobody_listens_at() {
    let gateway = gateway(&[nobody().await, upstream(echo).await], json!({})).await;
    let client = gateway.client("http");
    for _ in 0..10 {
        let answer = client.send(client.request("POST", "/").body("body")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &b"body"[..])
        );
    }
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_is_sent_once() {
    let (sender, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    // Takes the request and hangs up without an answer.
    let hangs_up = move |mut stream: TcpStream| {
        let sender = sender.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = sender.send(());
        }
    };
    let address = upstream(hangs_up).await;
    let gateway = gateway(&[address], json!({})).await;
    assert_eq!(
        reason(&gateway.client("http"), "POST").await,
        (502, "upstream_broken".into())
    );
    assert_eq!(arrived.recv().await, Some(()));
    assert!(arrived.try_recv().is_err(), "the POST was sent twice");
}
