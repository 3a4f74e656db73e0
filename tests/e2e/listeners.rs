//! What arrives before a request does: TLS by server name, HTTP versions, the PROXY protocol.

use std::path::Path;

use reqwest::Certificate;
use serde_json::json;
use tests::{Gateway, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn certificate(directory: &Path, stem: &str, name: &str) -> Certificate {
    let made =
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate can be made");
    std::fs::write(directory.join(format!("{stem}.pem")), made.cert.pem())
        .expect("it can be written");
    std::fs::write(
        directory.join(format!("{stem}.key")),
        made.signing_key.serialize_pem(),
    )
    .expect("it can be written");
    Certificate::from_pem(made.cert.pem().as_bytes()).expect("it is PEM")
}

async fn get(
    name: &str,
    gateway: &Gateway,
    trusted: &Certificate,
) -> reqwest::Result<reqwest::Response> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([trusted.clone()])
        .resolve(name, gateway.address("https"))
        .no_proxy()
        .build()
        .expect("a client can be made");
    client
        .get(format!(
            "https://{name}:{}/assets/hello.txt",
            gateway.address("https").port()
        ))
        .send()
        .await
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_replaced_while_running() {
    let mut configuration = Gateway::configuration();
    let file =
        |stem: &str| json!({"certificate": format!("{stem}.pem"), "key": format!("{stem}.key")});
    configuration["listeners"] =
        json!([{"name": "https", "address": "127.0.0.1:0", "tls": [file("one"), file("two")]}]);
    let mut trusted = Vec::new();
    let gateway = Gateway::start(&configuration, |directory| {
        trusted = vec![
            certificate(directory, "one", "one.test"),
            certificate(directory, "two", "two.test"),
        ];
    })
    .await;
    for (name, certificate) in ["one.test", "two.test"].iter().zip(&trusted) {
        let response = get(name, &gateway, certificate).await.expect(name);
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, reqwest::Version::HTTP_2),
            "{name}"
        );
    }
    assert!(
        get("one.test", &gateway, &trusted[1]).await.is_err(),
        "another name's certificate was accepted"
    );

    let replaced = certificate(&gateway.path(""), "two", "two.test");
    eventually("the new certificate is served", async || {
        get("two.test", &gateway, &replaced).await.is_ok()
    })
    .await;
}

async fn raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address("http"))
        .await
        .expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_and_a_bad_header_closes_the_connection() {
    let mut configuration = Gateway::configuration();
    configuration["listeners"][0]["proxy_protocol"] =
        json!({"mode": "required", "from": ["127.0.0.0/8"]});
    let gateway = Gateway::start(&configuration, |_| {}).await;
    let request = b"GET /assets/hello.txt HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    let proxied = [
        &b"PROXY TCP4 198.51.100.7 203.0.113.1 1234 443\r\n"[..],
        request,
    ]
    .concat();
    assert!(raw(&gateway, &proxied).await.starts_with("HTTP/1.1 200"));
    eventually("the log names the client", async || {
        gateway.log().contains("\"client\":\"198.51.100.7\"")
    })
    .await;

    for bad in [&request[..], b"PROXY TCP4 nonsense\r\n"] {
        assert_eq!(raw(&gateway, bad).await, "");
    }
    let refused = gateway
        .metric("gateway_connections_refused_total{listener=\"http\",reason=\"proxy_header\"}")
        .await;
    assert!((refused - 2.0).abs() < 0.1, "{refused}");
}

#[tokio::test]
async fn oversized_headers_get_431() {
    let gateway = Gateway::start(&Gateway::configuration(), |_| {}).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n",
        "x".repeat(100 << 10)
    );
    let mut stream = TcpStream::connect(gateway.address("http"))
        .await
        .expect("it listens");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 431");
}
