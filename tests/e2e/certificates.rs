//! Certificates by ACME for one name in several regions, with a real authority.
//!
//! Both kinds of challenge run through whole gateways; DNS-01 is asked for with real DNS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::config::from_document;
use gateway::demo::s3_store::S3Store;
use reqwest::Certificate;
use serde_json::{Value, json};
use serving::config::Document;
use tests::{Gateway, Pebble, Txt, eventually};

const NAME: &str = "edge.test";
const KEY: &str = "Q0mC2wE7yq3JxX9oTg1vVw5mZ0pRk8sLhNfUeYtBd6I=";
const OTHER_KEY: &str = "m1X0a9s8D7f6G5h4J3k2L1z0X9c8V7b6N5m4Q3w2E1o=";
const LONG: Duration = Duration::from_secs(90 * 24 * 3600);

fn nobody() -> Txt {
    Arc::new(|_| Vec::new())
}

/// A region whose certificates are in `store`.
fn region(name: &str, pebble: &Pebble, store: &Path) -> Value {
    let mut configuration = Gateway::configuration();
    configuration["region"] = json!(name);
    configuration["regions"] = json!([{
        "name": name, "location": {"latitude": 0, "longitude": 0}
    }]);
    configuration["listeners"] =
        json!([{"name": "https", "address": "127.0.0.1:0", "acme": [NAME]}]);
    configuration["certificates"] = json!({
        "acme": {
            "directory_url": pebble.directory_url(),
            "terms_of_service_agreed": true,
            "challenge": "tls-alpn-01",
            "authorities": [pebble.authority()],
            "backoff": "1s",
        },
        "store": {"directory": {"path": store}},
        "keys": [{"file": "key"}],
        "poll_interval": "200ms",
        "lease": "2s",
    });
    configuration
}

async fn start(configuration: &Value, key: &str) -> Gateway {
    Gateway::start(configuration, |directory| {
        std::fs::write(directory.join("key"), key).expect("files can be written");
    })
    .await
}

/// The leaf that a listener serves to a client that trusts `root`; empty if it does not trust it.
async fn leaf(gateway: &Gateway, root: &Certificate) -> Vec<u8> {
    let address: SocketAddr = gateway.address("https");
    let client = reqwest::Client::builder()
        .tls_certs_only([root.clone()])
        .tls_info(true)
        .resolve(NAME, address)
        .no_proxy()
        .build()
        .expect("a client can be made");
    let url = format!("https://{NAME}:{}/assets/hello.txt", address.port());
    let Ok(answer) = client.get(url).send().await else {
        return Vec::new();
    };
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>();
    info.and_then(|info| info.peer_certificate())
        .unwrap_or_default()
        .to_vec()
}

async fn until_served(gateway: &Gateway, root: &Certificate) -> Vec<u8> {
    let mut served = Vec::new();
    eventually("a trusted certificate is served", async || {
        served = leaf(gateway, root).await;
        !served.is_empty()
    })
    .await;
    served
}

#[tokio::test]
async fn one_region_orders_and_all_serve_the_same_certificate() {
    let pebble = Pebble::start(LONG, nobody()).await;
    let store = tempfile::tempdir().expect("a directory can be made");
    let [one, two, three] = ["one", "two", "three"].map(|name| region(name, &pebble, store.path()));
    let gateways = tokio::join!(start(&one, KEY), start(&two, KEY), start(&three, KEY));
    let gateways = [gateways.0, gateways.1, gateways.2];
    // Whoever orders, the authority looks at the second.
    pebble.validates_at(gateways[1].address("https"));
    let root = pebble.root().await;
    let first = until_served(&gateways[0], &root).await;
    for gateway in &gateways[1..] {
        assert_eq!(until_served(gateway, &root).await, first);
    }
    assert_eq!(pebble.orders(), 1);
    let mut issued = 0.0;
    for gateway in &gateways {
        issued += gateway
            .metric("gateway_certificate_orders_total{outcome=\"issued\"}")
            .await;
        let expiry = format!("gateway_certificate_expiry_timestamp_seconds{{name=\"{NAME}\"}}");
        assert!(gateway.metric(&expiry).await > 1.7e9);
    }
    assert!((issued - 1.0).abs() < 0.1, "{issued}");
    // Nothing of it can be read in the store.
    let stored = contents(store.path());
    assert!(
        stored
            .iter()
            .any(|(path, _)| path.ends_with("/certificates/edge.test"))
    );
    for (path, bytes) in stored {
        assert!(bytes.starts_with(b"edgecert\x01"), "{path}");
    }

    let late = start(&region("four", &pebble, store.path()), KEY).await;
    assert_eq!(until_served(&late, &root).await, first);
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test]
async fn when_the_region_that_orders_dies_another_takes_over() {
    let pebble = Pebble::start(LONG, nobody()).await;
    let store = tempfile::tempdir().expect("a directory can be made");
    // It waits long for the others to learn of the challenge, and dies meanwhile.
    let mut slow = region("one", &pebble, store.path());
    slow["certificates"]["poll_interval"] = json!("1h");
    let mut dying = start(&slow, KEY).await;
    let lease = format!("gateway_certificate_lease_held{{name=\"{NAME}\"}}");
    eventually("it orders", async || pebble.orders() == 1).await;
    assert!(dying.metric(&lease).await > 0.5);
    let heir = start(&region("two", &pebble, store.path()), KEY).await;
    pebble.validates_at(heir.address("https"));
    eventually("the lease is seen", async || {
        heir.client("admin")
            .get("/readyz")
            .await
            .body
            .windows(11)
            .any(|w| w == b"placeholder")
    })
    .await;
    dying.kill().await;
    let root = pebble.root().await;
    until_served(&heir, &root).await;
    assert_eq!(pebble.orders(), 2);
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_stays_when_the_authority_is_gone() {
    let mut pebble = Pebble::start(Duration::from_secs(20), nobody()).await;
    let store = tempfile::tempdir().expect("a directory can be made");
    let gateway = start(&region("one", &pebble, store.path()), KEY).await;
    pebble.validates_at(gateway.address("https"));
    let root = pebble.root().await;
    let first = until_served(&gateway, &root).await;
    let mut second = Vec::new();
    eventually("it is renewed", async || {
        second = leaf(&gateway, &root).await;
        assert!(
            !second.is_empty(),
            "there was no valid certificate for a moment: {}",
            gateway.log()
        );
        second != first
    })
    .await;

    pebble.kill().await;
    eventually("the next renewal fails", async || {
        gateway
            .metric("gateway_certificate_orders_total{outcome=\"unreachable\"}")
            .await
            > 1.5
    })
    .await;
    assert_eq!(leaf(&gateway, &root).await, second);
    let ready = gateway.client("admin").get("/readyz").await;
    let findings = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 200, "{findings}");
    assert!(findings.contains("certificate for edge.test"), "{findings}");
}

#[tokio::test]
async fn a_gateway_with_another_key_says_so_and_writes_nothing() {
    let pebble = Pebble::start(LONG, nobody()).await;
    let store = tempfile::tempdir().expect("a directory can be made");
    let gateway = start(&region("one", &pebble, store.path()), KEY).await;
    pebble.validates_at(gateway.address("https"));
    let root = pebble.root().await;
    let served = until_served(&gateway, &root).await;
    let listed = || contents(store.path());
    eventually("the order is wound up", async || {
        gateway
            .metric(&format!(
                "gateway_certificate_lease_held{{name=\"{NAME}\"}}"
            ))
            .await
            < 0.5
    })
    .await;
    let before = listed();

    let stranger = start(&region("two", &pebble, store.path()), OTHER_KEY).await;
    eventually("the key is named", async || {
        stranger
            .log()
            .contains("which is not among `certificates.keys`")
    })
    .await;
    let ready = stranger.client("admin").get("/readyz").await;
    let findings = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(
        findings.contains("placeholder") && findings.contains("certificates.keys"),
        "{findings}"
    );
    assert!(leaf(&stranger, &root).await.is_empty());
    assert_eq!(listed(), before);
    assert_eq!(pebble.orders(), 1);
    drop(stranger);

    // With both keys it reads what is there and seals it with the new one.
    let mut both = region("two", &pebble, store.path());
    both["certificates"]["keys"] = json!([{"file": "new"}, {"file": "key"}]);
    let rotated = Gateway::start(&both, |directory| {
        std::fs::write(directory.join("key"), KEY).expect("files can be written");
        std::fs::write(directory.join("new"), OTHER_KEY).expect("files can be written");
    })
    .await;
    assert_eq!(until_served(&rotated, &root).await, served);
    eventually("all is sealed with the new key", async || {
        let changed = listed();
        before
            .iter()
            .filter(|(path, _)| path.ends_with("/certificates/edge.test"))
            .all(|(path, bytes)| {
                changed
                    .iter()
                    .any(|(other, now)| other == path && now != bytes)
            })
    })
    .await;
    drop(gateway);
    let new_only = start(&region("three", &pebble, store.path()), OTHER_KEY).await;
    assert_eq!(until_served(&new_only, &root).await, served);
    assert_eq!(pebble.orders(), 1);
}

/// The objects of a store, without its own notes.
fn contents(store: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![store.join(".edge/records")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.push((path.display().to_string(), bytes));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_store_that_is_away_does_not_take_the_certificate_from_a_restarted_gateway() {
    let pebble = Pebble::start(LONG, nobody()).await;
    let (store, copy) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let mut configuration = region("one", &pebble, store.path());
    configuration["certificates"]["local_copy"] = json!(copy.path());
    let gateway = start(&configuration, KEY).await;
    pebble.validates_at(gateway.address("https"));
    let root = pebble.root().await;
    let served = until_served(&gateway, &root).await;
    eventually("a copy is kept", async || !contents(copy.path()).is_empty()).await;
    drop(gateway);

    configuration["certificates"]["store"] = json!({"s3": {
        "endpoint": "http://127.0.0.1:1", "bucket": "away", "credentials": "anonymous"
    }});
    let restarted = start(&configuration, KEY).await;
    assert_eq!(until_served(&restarted, &root).await, served);
}

/// DNS-01 through an S3 store and real DNS. The authority asks the three regions in turn, as resolvers do.
#[tokio::test]
async fn dns_challenges_are_answered_by_every_region() {
    let servers: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let asked = servers.clone();
    let turn = AtomicUsize::new(0);
    let ask_in_turn = move |name: &str| {
        let servers = asked.lock().expect("nobody panicked");
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        dig_txt(servers[turn % servers.len()], name)
    };
    let pebble = Pebble::start(LONG, Arc::new(ask_in_turn)).await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = S3Store::start(&directory.path().join("s3"), 0, &[])
        .await
        .expect("a store starts");
    let access = format!(
        "aws_access_key_id = {}\naws_secret_access_key = {}\n",
        store.access_key(),
        store.secret_key()
    );
    let names = ["edge.test", "*.edge.test"];
    let mut gateways = Vec::new();
    for name in ["one", "two", "three"] {
        let mut configuration = region(name, &pebble, directory.path());
        configuration["regions"][0]["addresses"] = json!(["127.0.0.21"]);
        configuration["listeners"][0]["acme"] = json!(names);
        configuration["dns"] = json!({
            "listen": ["127.0.0.1:0"],
            "zones": [{
                "name": "edge.test",
                "name_servers": [{"name": "ns1", "region": name}],
                "steered": [{"name": "@"}],
            }],
        });
        let certificates = &mut configuration["certificates"];
        certificates["acme"]["challenge"] = json!("dns-01");
        certificates["store"] = json!({"s3": {
            "endpoint": store.endpoint(), "bucket": store.bucket(), "credentials": {"file": "access"},
        }});
        // The keepers begin before this one's address is known here, but they wait before they ask.
        let gateway = Gateway::start(&configuration, |directory| {
            std::fs::write(directory.join("key"), KEY).expect("files can be written");
            std::fs::write(directory.join("access"), &access).expect("files can be written");
        })
        .await;
        let dns = gateway.address("dns");
        servers.lock().expect("nobody panicked").push(dns);
        gateways.push(gateway);
    }
    let root = pebble.root().await;
    let first = until_served(&gateways[0], &root).await;
    for gateway in &gateways[1..] {
        assert_eq!(until_served(gateway, &root).await, first);
    }
    eventually("both names have their certificate", async || {
        pebble.orders() == names.len()
    })
    .await;
}

fn dig_txt(server: SocketAddr, name: &str) -> Vec<String> {
    let answer = std::process::Command::new("dig")
        .args([
            &format!("@{}", server.ip()),
            "-p",
            &server.port().to_string(),
        ])
        .args([name, "TXT", "+short", "+timeout=2", "+tries=1"])
        .output()
        .expect("dig is installed");
    let text = String::from_utf8_lossy(&answer.stdout);
    text.lines()
        .map(|line| line.trim_matches('"').to_owned())
        .collect()
}

#[tokio::test]
async fn dns_01_for_a_name_that_our_dns_does_not_answer_is_refused() {
    let pebble = Pebble::start(LONG, nobody()).await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(directory.path().join("key"), KEY).expect("files can be written");
    let mut configuration = region("one", &pebble, directory.path());
    configuration["certificates"]["acme"]["challenge"] = json!("dns-01");
    let path = directory.path().join("gateway.yaml");
    let document = Document::from_text(path, format!("{configuration:#}"));
    let error = from_document(&document).expect_err("it must be refused");
    let error = error.to_string();
    assert!(error.contains("none of the zones under `dns`"), "{error}");
}
