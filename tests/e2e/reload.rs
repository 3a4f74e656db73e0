//! A changed configuration is taken over; a bad one is refused and the running one goes on.

use serde_json::json;
use tests::{Gateway, eventually};

#[tokio::test]
async fn routes_change_without_a_restart_and_a_bad_file_changes_nothing() {
    let mut configuration = Gateway::configuration();
    let respond = |body: &str| json!([{"name": "fixed", "action": {"respond": {"body": body}}}]);
    configuration["routes"] = respond("one");
    let gateway = Gateway::start(&configuration, |_| {}).await;
    let client = gateway.client("http");
    assert_eq!(client.get("/").await.body, "one");

    std::fs::write(gateway.path("gateway.yaml"), "region: [").expect("it can be written");
    eventually("the bad file is counted", async || {
        gateway
            .metric("gateway_config_reloads_total{result=\"refused\"}")
            .await
            >= 1.0
    })
    .await;
    assert_eq!(client.get("/").await.body, "one");
    assert!(
        gateway.log().contains("gateway.yaml"),
        "the log says which file was refused"
    );

    configuration["routes"] = respond("two");
    std::fs::write(gateway.path("gateway.yaml"), configuration.to_string())
        .expect("it can be written");
    gateway.signal("HUP").await;
    eventually("the new route answers", async || {
        client.get("/").await.body == "two"
    })
    .await;
}
