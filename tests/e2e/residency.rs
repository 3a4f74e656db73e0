//! Data that must stay in a region is answered there or not at all. Two real gateways, of which one is
//! where the data must not be.

use std::net::TcpListener;

use serde_json::{Value, json};
use tests::{Client, Gateway, eventually};

/// A port that was free a moment ago: the two regions must know each other's before they start.
fn port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

fn configuration(own: &str, ports: [u16; 2]) -> Value {
    let mut configuration = Gateway::configuration();
    let own_port = if own == "ams3" { ports[0] } else { ports[1] };
    configuration["region"] = json!(own);
    configuration["regions"] = json!([
        {"name": "ams3", "address": format!("http://127.0.0.1:{}", ports[0])},
        {"name": "nyc3", "address": format!("http://127.0.0.1:{}", ports[1])},
    ]);
    configuration["peers"] = json!(["127.0.0.0/8"]);
    configuration["listeners"] = json!([
        {"name": "http", "address": format!("127.0.0.1:{own_port}"), "share_port": true}
    ]);
    configuration["steering"] = json!({"health_check": {"interval": "100ms", "timeout": "1s", "down_after": 2, "up_after": 2}});
    configuration["tenants"] = json!({
        "acme": {"hosts": ["acme.test", "*.acme.test"], "residency": {"regions": ["ams3"]}},
        "strict": {"hosts": ["strict.test"], "residency": {"regions": ["ams3"], "outside": "refuse"}},
    });
    let assets = configuration["routes"][0].clone();
    configuration["routes"] = json!([
        assets,
        {"name": "secret", "match": {"path": {"prefix": "/assets/secret/"}}, "action": "assets",
         "residency": {"regions": ["ams3"]}},
        {"name": "fixed", "match": {"path": {"exact": "/fixed"}}, "action": {"respond": {"body": "fixed"}}},
    ]);
    configuration
}

async fn get(gateway: &Gateway, host: &str, path: &str) -> tests::Answer {
    // Somebody in Chicago.
    let client = Client::new(
        &format!("http://{}", gateway.address("http")),
        "128.135.0.1",
    );
    client
        .send(client.request("GET", path).header("host", host))
        .await
}

#[tokio::test]
async fn data_with_a_residency_is_never_answered_elsewhere() {
    let ports = [port(), port()];
    let secret = |directory: &std::path::Path| {
        std::fs::create_dir_all(directory.join("assets/secret")).expect("it can be made");
        std::fs::write(directory.join("assets/secret/a.txt"), "secret").expect("it can be written");
    };
    let mut ams3 = Gateway::start(&configuration("ams3", ports), secret).await;
    let nyc3 = Gateway::start(&configuration("nyc3", ports), secret).await;
    eventually("nyc3 sees ams3, and knows that ams3 sees it", async || {
        let regions = nyc3.client("admin").get("/api/v1/regions").await.json();
        let regions = regions.as_array().cloned().unwrap_or_default();
        regions
            .iter()
            .all(|region| region["status"] == "up" && region["share"] == 1.0)
    })
    .await;

    // Without a rule, the nearest answers; with one, the region that may, whatever the way in.
    assert_eq!(
        get(&nyc3, "other.test", "/assets/hello.txt")
            .await
            .served_by(),
        "nyc3"
    );
    for (host, path) in [
        ("acme.test", "/assets/hello.txt"),
        ("ACME.test:80", "/assets/hello.txt"),
        ("a.acme.test.", "/assets/hello.txt"),
        ("other.test", "/assets/secret/a.txt"),
    ] {
        let answer = get(&nyc3, host, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.served_by()),
            (200, "ams3"),
            "{host} {path}"
        );
    }
    for (host, path) in [
        ("strict.test", "/assets/hello.txt"),
        ("acme.test", "/fixed"),
    ] {
        let answer = get(&nyc3, host, path).await;
        assert_eq!(answer.status, 421, "{host} {path}");
        assert_eq!(answer.json()["reason"], "residency", "{host} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(get(&ams3, host, path).await.status, 200, "{host} {path}");
    }

    // The region that may is gone: refused, and not answered here, although everything is here.
    ams3.signal("KILL").await;
    ams3.ended().await;
    eventually("nyc3 refuses", async || {
        get(&nyc3, "acme.test", "/assets/hello.txt").await.status != 200
    })
    .await;
    for _ in 0..20 {
        for (host, path) in [
            ("acme.test", "/assets/hello.txt"),
            ("strict.test", "/assets/hello.txt"),
            ("other.test", "/assets/secret/a.txt"),
        ] {
            let answer = get(&nyc3, host, path).await;
            assert!(
                answer.status.is_client_error() || answer.status.is_server_error(),
                "{host}: {answer:?}"
            );
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("secret\n"),
                "{host}: {answer:?}"
            );
        }
    }
    assert_eq!(
        get(&nyc3, "other.test", "/assets/hello.txt").await.status,
        200
    );
    let explained = nyc3
        .client("admin")
        .get("/api/v1/explain?ip=128.135.0.1&host=acme.test")
        .await
        .json();
    let places = explained["places"].as_array().cloned().unwrap_or_default();
    let nyc3_place = places.iter().find(|place| place["region"] == "nyc3");
    assert_eq!(
        nyc3_place.map(|place| &place["reason"]),
        Some(&json!("residency")),
        "{explained}"
    );
    assert_eq!(
        nyc3_place.map(|place| &place["usable"]),
        Some(&json!(false)),
        "{explained}"
    );
}
