//! Regions know each other by certificate, tell each other how they are, and carry for each other.

use std::time::{Duration, Instant};

use gateway::mesh::authority::{issue, make_authority};
use serde_json::{Value, json};
use tests::mesh::{MeshPlan, expired, german_client, link_seen, valid};
use tests::{Gateway, eventually};

const SAMPLE: &str = "/assets/hello.txt";

async fn all_up(gateways: &[&Gateway], regions: &[&str]) {
    eventually("all regions see each other", async || {
        for gateway in gateways {
            for region in regions {
                let seen = link_seen(gateway, region).await;
                if seen["own"] == false && seen["link"] != "up" {
                    return false;
                }
            }
        }
        true
    })
    .await;
}

/// Three regions that see each other up. A German client that enters at the first is answered by the second.
async fn three_regions() -> (MeshPlan, [Gateway; 3]) {
    let regions = ["nyc3", "ams3", "sgp1"];
    let plan = MeshPlan::new(&regions).await;
    let gateways = [
        plan.start("nyc3").await,
        plan.start("ams3").await,
        plan.start("sgp1").await,
    ];
    let [nyc3, ams3, sgp1] = &gateways;
    all_up(&[nyc3, ams3, sgp1], &regions).await;
    let client = german_client(nyc3);
    eventually("its own region answers", async || {
        client.get(SAMPLE).await.served_by() == "ams3"
    })
    .await;
    (plan, gateways)
}

#[tokio::test]
async fn a_request_crosses_a_third_region_while_the_direct_link_is_cut() {
    let (plan, [nyc3, _ams3, _sgp1]) = three_regions().await;
    let client = german_client(&nyc3);
    let direct = r#"gateway_mesh_carried_total{path="direct",region="ams3"}"#;
    assert!(nyc3.metric(direct).await >= 1.0);

    for link in plan.between("nyc3", "ams3") {
        link.cut();
    }
    let relayed = r#"gateway_mesh_carried_total{path="relayed",region="sgp1"}"#;
    eventually("requests go through sgp1", async || {
        let answer = client.get(SAMPLE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.served_by() == "ams3" && nyc3.metric(relayed).await >= 1.0
    })
    .await;
    let seen = link_seen(&nyc3, "ams3").await;
    assert_eq!(seen["path"], "sgp1", "{seen}");
    eventually("ams3's words come through sgp1", async || {
        link_seen(&nyc3, "ams3").await["gateways"][0]["via"] == "sgp1"
    })
    .await;

    for link in plan.between("nyc3", "ams3") {
        link.mend();
    }
    eventually("the direct way is back", async || {
        link_seen(&nyc3, "ams3").await["path"] == "direct"
            && client.get(SAMPLE).await.served_by() == "ams3"
    })
    .await;
}

#[tokio::test]
async fn a_region_that_falls_silent_delays_requests_only_until_that_is_noticed() {
    let (plan, [nyc3, _ams3, _sgp1]) = three_regions().await;
    let client = german_client(&nyc3);

    for other in ["nyc3", "sgp1"] {
        for link in plan.between(other, "ams3") {
            link.silence();
        }
    }
    let silent = Instant::now();
    let mut slowest_late = Duration::ZERO;
    while silent.elapsed() < Duration::from_secs(8) {
        let asked = Instant::now();
        let answer = client.get(SAMPLE).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        if asked.duration_since(silent) > Duration::from_secs(5) {
            slowest_late = slowest_late.max(took);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest_late < Duration::from_secs(1), "{slowest_late:?}");
}

#[tokio::test]
async fn certificates_that_are_expired_foreign_or_for_another_region_are_refused_and_named() {
    let foreign = make_authority(valid()).expect("an authority can be made");
    let plan = MeshPlan::new(&["nyc3", "ams3", "sgp1"]).await;
    let nyc3 = plan.start("nyc3").await;
    for (shown, reason) in [
        (plan.issue("ams3", expired()), "xpired"),
        (
            issue(&foreign, "ams3", valid()).expect("a certificate can be made"),
            "UnknownIssuer",
        ),
    ] {
        let ams3 = plan
            .start_with("ams3", &plan.configuration("ams3"), &shown)
            .await;
        eventually(reason, async || {
            let trouble = link_seen(&nyc3, "ams3").await["trouble"].clone();
            trouble.as_str().is_some_and(|said| said.contains(reason))
        })
        .await;
        assert!(nyc3.log().contains(reason), "{}", nyc3.log());
        eventually("nyc3 refuses it, too", async || {
            let refused =
                r#"gateway_connections_refused_total{listener="mesh",reason="tls_handshake"}"#;
            nyc3.metric(refused).await >= 1.0
        })
        .await;
        assert_eq!(german_client(&nyc3).get(SAMPLE).await.served_by(), "nyc3");
        let logged = ams3.log();
        assert!(
            logged.contains("will not take this region's certificate"),
            "{logged}"
        );
    }
    // Another region where ams3 should be.
    let sgp1 = plan.start("sgp1").await;
    plan.link("nyc3", "ams3").lead_to(sgp1.address("mesh"));
    eventually("it is not ams3", async || {
        let trouble = link_seen(&nyc3, "ams3").await["trouble"].clone();
        trouble
            .as_str()
            .is_some_and(|said| said.contains("not valid for name"))
    })
    .await;
}

/// `sgp1` as the test itself plays it.
async fn say(plan: &MeshPlan, to: &Gateway, region: Option<&str>, body: String) -> Option<u16> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let name = "nyc3.region.edge.internal";
    let root = reqwest::Certificate::from_pem(plan.authority.certificate.as_bytes());
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root.expect("it is a certificate")])
        .resolve(name, to.address("mesh"));
    if let Some(region) = region {
        let shown = plan.issue(region, valid());
        let pem = format!("{}{}", shown.certificate, shown.key);
        client = client.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("it is one"));
    }
    let client = client.build().expect("a client can be made");
    let url = format!("https://{name}/.well-known/edge/mesh");
    let answer = client.post(url).body(body).send().await.ok()?;
    Some(answer.status().as_u16())
}

#[tokio::test]
async fn a_region_can_lie_about_itself_only() {
    let plan = MeshPlan::new(&["nyc3", "ams3", "sgp1"]).await;
    let nyc3 = plan.start("nyc3").await;
    let record = |region: &str, instance: Value| {
        // Its clock is years ahead, and it is newer than we are.
        json!({"record": {
            "region": region, "instance": instance, "draining": false,
            "version": {"started": 4_000_000_000_000_u64, "count": 1},
            "shares": {"nyc3": 7.5}, "rtts": {"ams3": -3.0}, "colour": "red",
        }})
    };
    let message = |records: Value| json!({"records": records, "mood": 1}).to_string();
    let refused = async |reason: &str| {
        nyc3.metric(&format!(
            r#"gateway_mesh_refused_total{{reason="{reason}",region="sgp1"}}"#
        ))
        .await
    };

    let good = message(json!([record("sgp1", json!(7))]));
    assert_eq!(say(&plan, &nyc3, None, good.clone()).await, None);
    assert_eq!(say(&plan, &nyc3, Some("lon1"), good.clone()).await, None);
    assert_eq!(
        say(&plan, &nyc3, Some("sgp1"), good.clone()).await,
        Some(200)
    );
    let seen = link_seen(&nyc3, "sgp1").await;
    assert_eq!(seen["gateways"][0]["count"], 1, "{seen}");
    assert_eq!(seen["gateways"][0]["rtts"], json!({}), "{seen}");
    assert!(
        seen["gateways"][0]["age_s"]
            .as_f64()
            .is_some_and(|age| age < 60.0),
        "{seen}"
    );

    let other = message(json!([record("ams3", json!(7))]));
    assert_eq!(say(&plan, &nyc3, Some("sgp1"), other).await, Some(200));
    assert_eq!(link_seen(&nyc3, "ams3").await["gateways"], json!([]));
    assert!((refused("other_region").await - 1.0).abs() < f64::EPSILON);

    let wrong = message(json!([record("sgp1", json!("seven"))]));
    assert_eq!(say(&plan, &nyc3, Some("sgp1"), wrong).await, Some(400));
    assert!((refused("malformed").await - 1.0).abs() < f64::EPSILON);
    assert!(
        nyc3.log().contains("invalid type: string"),
        "{}",
        nyc3.log()
    );
    let giant = format!("[\"{}\"]", "x".repeat(300 << 10));
    assert_eq!(say(&plan, &nyc3, Some("sgp1"), giant).await, Some(413));
    assert!((refused("too_large").await - 1.0).abs() < f64::EPSILON);
    // Said once more it is not news.
    assert_eq!(say(&plan, &nyc3, Some("sgp1"), good).await, Some(200));
    assert!((refused("outdated").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn gateways_of_one_region_know_each_other_and_speak_for_each_other() {
    let plan = MeshPlan::new(&["nyc3", "ams3"]).await;
    let shown = plan.issue("ams3", valid());
    let mut configuration = plan.configuration("ams3");
    let sibling = tests::Link::start().await;
    configuration["mesh"]["siblings"] = json!([sibling.address().to_string()]);
    let first = plan.start_with("ams3", &configuration, &shown).await;
    let configuration = plan.configuration("ams3");
    let second = plan.start_with("ams3", &configuration, &shown).await;
    sibling.lead_to(second.address("mesh"));
    // Others reach the first only, as through a load balancer.
    plan.link("nyc3", "ams3").lead_to(first.address("mesh"));
    let nyc3 = plan.start("nyc3").await;
    let count = async |gateway: &Gateway| {
        let seen = link_seen(gateway, "ams3").await;
        seen["gateways"].as_array().map_or(0, Vec::len)
    };
    eventually("both know each other", async || {
        count(&first).await == 1 && count(&second).await == 1
    })
    .await;
    eventually("nyc3 knows both", async || count(&nyc3).await == 2).await;
    sibling.cut();
    drop(second);
    eventually("one that is gone is forgotten", async || {
        count(&nyc3).await == 1
    })
    .await;
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_over_without_a_restart() {
    let plan = MeshPlan::new(&["nyc3", "ams3"]).await;
    let nyc3 = plan.start("nyc3").await;
    let ams3 = plan
        .start_with(
            "ams3",
            &plan.configuration("ams3"),
            &plan.issue("ams3", expired()),
        )
        .await;
    eventually("the expired one is refused", async || {
        link_seen(&nyc3, "ams3").await["trouble"].is_string()
    })
    .await;
    let good = plan.issue("ams3", valid());
    std::fs::write(ams3.path("mesh.key"), &good.key).expect("files can be written");
    std::fs::write(ams3.path("mesh.pem"), &good.certificate).expect("files can be written");
    all_up(&[&nyc3, &ams3], &["nyc3", "ams3"]).await;
}
