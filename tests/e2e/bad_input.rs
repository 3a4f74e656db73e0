//! Mistakes of an operator: exit 2, one line, with file, line and key.

use serde_json::json;
use tests::{Gateway, eventually};

#[tokio::test]
async fn a_bad_configuration_is_one_line_and_exit_code_2() {
    let good = "region: ams3\nregions: [{name: ams3}]\nlisteners: [{name: http, address: \"127.0.0.1:0\"}]\nroutes: []\n";
    for (text, expected) in [
        (format!("{good}colour: red\n"), "gateway: gateway.yaml:5: "),
        (
            format!("{good}drain_timeout: 30\n"),
            "gateway: gateway.yaml:5: drain_timeout: ",
        ),
        (
            good.replace("[{name: ams3}]", "[{name: ams3}, {name: ams3}]"),
            "gateway: gateway.yaml:2: regions[1].name: ",
        ),
        (
            format!("{good}geo: {{databases: [missing.mmdb]}}\n"),
            "gateway: gateway.yaml:5: geo.databases[0]: ",
        ),
    ] {
        let directory = Gateway::directory(&json!({}), |_| {});
        std::fs::write(directory.path().join("gateway.yaml"), &text).expect("it can be written");
        for verb in ["check", "run"] {
            let (status, _, err) = Gateway::command(
                directory.path(),
                "gateway",
                &[verb, "--config", "gateway.yaml"],
            )
            .await;
            assert_eq!(status.code(), Some(2), "{verb}: {err}");
            assert!(
                err.starts_with(expected),
                "{verb}: {err}\nshould start with {expected}"
            );
            assert_eq!(err.lines().count(), 1, "{err}");
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_exit_code_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut configuration = Gateway::configuration();
    configuration["listeners"][0]["address"] = json!(taken.local_addr().expect("it is bound"));
    let directory = Gateway::directory(&configuration, |_| {});
    let (status, _, err) = Gateway::command(
        directory.path(),
        "gateway",
        &["run", "--config", "gateway.yaml"],
    )
    .await;
    assert_eq!(status.code(), Some(2), "{err}");
    let expected = format!(
        "cannot listen on {}",
        taken.local_addr().expect("it is bound")
    );
    assert!(
        err.lines().last().unwrap_or_default().contains(&expected),
        "{err}"
    );
}

#[tokio::test]
async fn an_origin_that_is_not_there_keeps_the_gateway_unready_and_requests_get_502() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let mut configuration = Gateway::configuration();
    configuration["asset_server"]["embedded"]["mounts"][0]["origin"] = json!({"s3": {
        "endpoint": format!("http://{address}"), "bucket": "missing", "credentials": {"file": "spaces"},
    }});
    let gateway = Gateway::start(&configuration, |directory| {
        let credentials = "aws_access_key_id = A\naws_secret_access_key = B\n";
        std::fs::write(directory.join("spaces"), credentials).expect("it can be written");
    })
    .await;
    let missing = gateway.client("http").get("/assets/a").await;
    assert_eq!(
        (missing.status.as_u16(), missing.header("content-type")),
        (502, "application/problem+json")
    );
    let body = String::from_utf8_lossy(&missing.body).into_owned();
    assert!(
        !body.contains(&address.port().to_string()),
        "an upstream's address reached a client: {body}"
    );
    let admin = gateway.client("admin");
    eventually("readiness says which origin and why", async || {
        let readiness = admin.get("/readyz").await;
        let finding = readiness.json()["findings"][0].clone();
        readiness.status == 503
            && finding["what"] == "origin of /assets/"
            && finding["blocking"] == true
    })
    .await;
}
