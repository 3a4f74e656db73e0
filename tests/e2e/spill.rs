//! A busy region sends a part of its users to one that has room, before it is full; and they come back.

use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::{Client, Gateway, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

fn port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

/// An upstream that answers `/slow` when it is told to, and everything else at once.
async fn upstream(release: watch::Receiver<bool>) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut release = release.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request).await {
                    if request[..read].starts_with(b"GET /slow") {
                        let _ = release.wait_for(|released| *released).await;
                    }
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .await;
                }
            });
        }
    });
    format!("http://{address}")
}

fn configuration(own: &str, ports: [u16; 2], upstream: &str) -> Value {
    let mut configuration = Gateway::configuration();
    configuration["region"] = json!(own);
    configuration["regions"] = json!([
        {"name": "ams3", "address": format!("http://127.0.0.1:{}", ports[0])},
        {"name": "nyc3", "address": format!("http://127.0.0.1:{}", ports[1])},
    ]);
    configuration["peers"] = json!(["127.0.0.0/8"]);
    let port = if own == "ams3" { ports[0] } else { ports[1] };
    configuration["listeners"] =
        json!([{"name": "http", "address": format!("127.0.0.1:{port}"), "share_port": true}]);
    configuration["steering"] = json!({
        "health_check": {"interval": "200ms", "timeout": "2s", "down_after": 3, "up_after": 2},
        "spill": {"from": 0.5, "growth": "4s"},
    });
    configuration["limits"] = json!({"requests_in_flight": 60});
    configuration["upstreams"] = json!({"work": {"endpoints": [upstream]}});
    configuration["routes"] = json!([{"name": "work", "action": {"upstream": {"name": "work"}}}]);
    configuration
}

#[tokio::test]
async fn a_busy_region_sends_some_users_away_and_takes_them_back() {
    let (release, released) = watch::channel(false);
    let upstream = upstream(released).await;
    let ports = [port(), port()];
    let ams3 = Arc::new(Gateway::start(&configuration("ams3", ports, &upstream), |_| {}).await);
    let nyc3 = Gateway::start(&configuration("nyc3", ports, &upstream), |_| {}).await;
    let at = format!("http://{}", ams3.address("http"));
    eventually("ams3 knows what nyc3 can take", async || {
        let regions = ams3.client("admin").get("/api/v1/regions").await.json();
        regions[1]["load"].is_number()
    })
    .await;
    // Networks in Germany, each steered as a whole.
    let kept = async || {
        let mut kept = 0;
        for n in 0..40 {
            let client = Client::new(&at, &format!("91.64.{n}.1"));
            let answer = client.get("/quick").await;
            assert_eq!(answer.status, 200, "nobody is refused: {answer:?}");
            kept += usize::from(answer.served_by() == "ams3");
        }
        kept
    };
    assert_eq!(kept().await, 40);

    // Three quarters of what it takes at once stay inside.
    let crowd: Vec<_> = (0..45)
        .map(|n| {
            let client = Client::new(&at, &format!("91.64.{n}.1"));
            tokio::spawn(async move { client.get("/slow").await.status.as_u16() })
        })
        .collect();
    eventually("it sends some away", async || kept().await < 36).await;
    let now = kept().await;
    assert!(now > 0, "never all: {now} of 40 are kept");
    let share = ams3
        .metric(r#"gateway_region_load_share{region="ams3"}"#)
        .await;
    assert!(share < 1.0 && share > 0.0, "{share}");
    let explained = ams3.client("admin").get("/api/v1/regions").await.json();
    assert!(
        explained[0]["load"].as_f64().is_some_and(|load| load > 0.5),
        "{explained}"
    );

    release.send(true).expect("the upstream waits");
    for answered in crowd {
        assert_eq!(answered.await.expect("it ends"), 200);
    }
    eventually("all are back", async || kept().await == 40).await;
    drop(nyc3);
}
