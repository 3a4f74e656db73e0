//! What a route's conditions choose, and what answers.

use serde_json::json;
use tests::Gateway;

#[tokio::test]
async fn the_most_specific_route_answers() {
    let mut configuration = Gateway::configuration();
    let respond = |body: &str| json!({"respond": {"status": 200, "body": body}});
    configuration["routes"] = json!([
        {"name": "all", "action": respond("all")},
        {"name": "prefix", "match": {"path": {"prefix": "/jobs"}}, "action": respond("prefix")},
        {"name": "template", "match": {"path": {"template": "/jobs/{id}/logs"}}, "action": respond("template")},
        {"name": "exact", "match": {"path": {"exact": "/jobs/7/logs"}}, "action": respond("exact")},
        {"name": "post", "match": {"path": {"prefix": "/jobs"}, "methods": ["POST"]}, "action": respond("post")},
        {"name": "beta", "match": {"path": {"prefix": "/jobs"}, "headers": {"x-beta": "1"}}, "action": respond("beta")},
        {"name": "old", "match": {"host": "old.test"}, "action": {"redirect": {"status": 301, "to": "https://new.test*"}}},
    ]);
    let gateway = Gateway::start(&configuration, |_| {}).await;
    let client = gateway.client("http");
    for (method, path, header, expected) in [
        ("GET", "/", None, "all"),
        ("GET", "/jobsite", None, "all"),
        ("GET", "/jobs", None, "prefix"),
        ("GET", "/jobs/8/logs", None, "template"),
        ("GET", "/jobs/7/logs", None, "exact"),
        ("POST", "/jobs", None, "post"),
        ("GET", "/jobs", Some(("x-beta", "1")), "beta"),
        ("GET", "/jobs", Some(("x-beta", "2")), "prefix"),
    ] {
        let mut request = client.request(method, path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(
            client.send(request).await.body,
            expected,
            "{method} {path} {header:?}"
        );
    }
    let moved = client
        .send(
            client
                .request("GET", "/a/b?c=d")
                .header("host", "OLD.test:80"),
        )
        .await;
    assert_eq!(
        (moved.status.as_u16(), moved.header("location")),
        (301, "https://new.test/a/b?c=d")
    );
}

#[tokio::test]
async fn a_route_may_send_clients_to_their_region_instead_of_carrying_them() {
    let mut configuration = Gateway::configuration();
    configuration["regions"] = json!([
        {"name": "ams3"},
        {"name": "sgp1", "address": format!("http://{}", tests::silent_address()), "public_url": "https://sgp1.edge.test"},
    ]);
    configuration["routes"][0]["steering"] = json!("redirect");
    // Nobody answers there, and that is not found out: a redirect does not ask the other region.
    configuration["steering"] = json!({"health_check": {"down_after": 1000}});
    let gateway = Gateway::start(&configuration, |_| {}).await;
    let base = format!("http://{}", gateway.address("http"));
    let near = tests::Client::new(&base, "91.64.0.1")
        .get("/assets/hello.txt")
        .await;
    assert_eq!((near.status.as_u16(), near.served_by()), (200, "ams3"));
    let far = tests::Client::new(&base, "36.66.0.1")
        .get("/assets/hello.txt?a=b")
        .await;
    assert_eq!(
        (far.status.as_u16(), far.header("location")),
        (307, "https://sgp1.edge.test/assets/hello.txt?a=b")
    );
}

#[tokio::test]
async fn a_route_without_a_match_is_a_problem_with_a_reason() {
    let gateway = Gateway::start(&Gateway::configuration(), |_| {}).await;
    let answer = gateway.client("http").get("/elsewhere").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (404, "application/problem+json")
    );
    assert_eq!(answer.json()["reason"], "no_route");
}
