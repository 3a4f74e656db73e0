use serving::config::Document;

use super::{File, from_document};

const EXAMPLE: &str = include_str!("../../config/gateway.example.yaml");

/// The example without everything that has a default.
const MINIMAL: &str = r#"
region: ams3
regions:
  - {name: nyc3, address: "https://nyc3.edge.example.com", public_url: "https://nyc3.edge.example.com", addresses: [192.0.2.10]}
  - {name: ams3, addresses: [192.0.2.20]}
  - {name: sgp1, address: "https://sgp1.edge.example.com", addresses: [192.0.2.30]}
listeners:
  - {name: https, address: "0.0.0.0:8443", tls: [{certificate: tls/edge.pem, key: tls/edge.key}]}
asset_server:
  embedded:
    mounts:
      - path: /assets/
        origin:
          s3: {endpoint: "https://ams3.digitaloceanspaces.com", bucket: example-assets, credentials: {file: /run/secrets/spaces}}
dns:
  listen: ["0.0.0.0:5353"]
  zones:
    - name: edge.example.com
      name_servers: [{name: ns1, region: nyc3}, {name: ns2, region: ams3}]
      steered: [{name: "@"}]
      records: [{name: www, type: CNAME, values: ["@"]}]
upstreams:
  jobs: {regions: [nyc3], health_check: {}}
routes:
  - {name: assets, match: {host: edge.example.com, path: {prefix: /assets/}}, action: assets}
  - {name: jobs, match: {path: {prefix: /jobs}}, action: {upstream: {name: jobs}}}
  - {name: old-site, match: {host: www.example.com}, action: {redirect: {to: "https://edge.example.com*"}}}
  - name: robots
    match: {path: {exact: /robots.txt}}
    action: {respond: {body: "User-agent: *\nDisallow: /\n"}}
"#;

fn parsed(text: &str) -> serde_json::Value {
    serde_json::to_value(
        Document::from_text("gateway.yaml", text)
            .parse::<File>()
            .unwrap(),
    )
    .unwrap()
}

#[test]
fn the_example_is_good_and_its_values_are_the_defaults() {
    from_document(&Document::from_text("gateway.yaml", EXAMPLE)).unwrap();
    assert_eq!(parsed(EXAMPLE), parsed(MINIMAL));
}

#[test]
fn the_example_lists_every_key_of_the_schema() {
    let schema = schemars::schema_for!(File).to_value();
    let mut keys = std::collections::BTreeSet::new();
    collect_keys(&schema, &mut keys);
    // The asset server's keys stand in its own example, alternatives in comments.
    let texts = [
        EXAMPLE,
        include_str!("../../../asset-server/config/asset-server.example.yaml"),
    ];
    let named = |key: &str| {
        texts
            .iter()
            .any(|text| text.contains(&format!("{key}:")) || text.contains(&format!("`{key}`")))
    };
    let missing: Vec<_> = keys.iter().filter(|key| !named(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect_keys(schema: &serde_json::Value, keys: &mut std::collections::BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| collect_keys(value, keys));
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| collect_keys(value, keys));
        }
        _ => {}
    }
}

#[test]
fn each_fault_is_one_line_that_names_file_line_key_and_reason() {
    for (from, to, expected) in [
        (
            "region: ams3",
            "region: lon1",
            r#"gateway.yaml:2: region: "lon1" is not among the regions: nyc3, ams3, sgp1"#,
        ),
        (
            "region: ams3",
            "region: ams3\nsteering: {health: {vote_age: 1s}}",
            "gateway.yaml:3: steering.health.vote_age: must be longer than",
        ),
        (
            "region: ams3",
            "region: ams3\nsteering: {health: {max_removed: 50}}",
            "gateway.yaml:3: steering.health.max_removed: is a share",
        ),
        (
            "region: ams3",
            "region: ams3\nsteering: {health: {outliers: {failed_share: 0}}}",
            "gateway.yaml:3: steering.health.outliers.failed_share: is a share",
        ),
        (
            "{name: ams3, addresses: [192.0.2.20]}",
            "{name: nyc3, addresses: [192.0.2.20]}",
            r#"gateway.yaml:5: regions[1].name: "nyc3" is there twice"#,
        ),
        (
            "{name: ams3, addresses: [192.0.2.20]}",
            "{name: ams3, colour: red}",
            "gateway.yaml:5: regions[1]",
        ),
        (
            "{name: sgp1,",
            "{name: moon,",
            r#"gateway.yaml:6: regions[2].name: "moon" is no DigitalOcean region"#,
        ),
        (
            "https://sgp1.edge.example.com",
            "sgp1",
            r#"gateway.yaml:6: regions[2].address: "sgp1" is not an address"#,
        ),
        (
            r#", address: "https://sgp1.edge.example.com""#,
            "",
            "gateway.yaml:6: regions[2]: other regions need an address",
        ),
        (
            "name: assets, match",
            "name: jobs, match",
            r#"gateway.yaml:26: routes[1].name: "jobs" is there twice"#,
        ),
        (
            "{name: jobs}}",
            "{name: jbos}}",
            r#"gateway.yaml:26: routes[1].action.upstream.name: "jbos" is not among the upstreams"#,
        ),
        (
            "regions: [nyc3]",
            "regions: [nyc9]",
            r#"gateway.yaml:23: upstreams.jobs.regions[0]: "nyc9" is not among the regions"#,
        ),
        (
            "regions: [nyc3]",
            "regions: [ams3]",
            "gateway.yaml:23: upstreams.jobs.endpoints: ams3 has this upstream",
        ),
        (
            "health_check: {}",
            "health_check: {interval: 5}",
            "gateway.yaml:23: upstreams.jobs.health_check.interval: \"5\" is not a duration",
        ),
        (
            "prefix: /jobs",
            "prefix: jobs",
            r#"gateway.yaml:26: routes[1].match.path.prefix: "jobs" must start with /"#,
        ),
        (
            "region: ams3",
            "steering: {learning: {explore: 0.2}}\nregion: ams3",
            "gateway.yaml:2: steering.learning.explore: must be between 0 and 0.1",
        ),
        (
            "0.0.0.0:8443",
            "0.0.0.0",
            "gateway.yaml:8: listeners[0].address: ",
        ),
        (
            "{name: ams3, addresses: [192.0.2.20]}",
            "{name: ams3, weight: 1.5}",
            "gateway.yaml:5: regions[1].weight: is the part of its users",
        ),
        (
            "upstreams:",
            "tenants: {acme: {hosts: [a.test], residency: {regions: [ams9]}}}\nupstreams:",
            r#"gateway.yaml:22: tenants.acme.residency.regions[0]: "ams9" is not among the regions"#,
        ),
        (
            "upstreams:",
            "tenants: {a: {hosts: [x.test]}, b: {hosts: [X.test]}}\nupstreams:",
            r#"gateway.yaml:22: tenants.b.hosts[0]: "X.test" is there twice"#,
        ),
        (
            "upstreams:",
            "tenants: {acme: {hosts: ['*']}}\nupstreams:",
            "gateway.yaml:22: tenants.acme.hosts[0]: every host cannot be one tenant's",
        ),
        (
            "upstreams:",
            "steering: {spill: {from: 1.0}}\nupstreams:",
            "gateway.yaml:22: steering.spill.from: is a part of the capacity",
        ),
        (
            "upstreams:",
            "steering: {preference: [{regions: [ams3]}]}\nupstreams:",
            "gateway.yaml:22: steering.preference[0]: needs countries or networks",
        ),
        (
            "{name: jobs, match",
            "{name: jobs, residency: {regions: []}, match",
            "gateway.yaml:26: routes[1].residency.regions: needs at least one region",
        ),
        (
            "{name: jobs, match",
            "{name: jobs, preference: [ams3, ams3], match",
            r#"gateway.yaml:26: routes[1].preference[1]: "ams3" is there twice"#,
        ),
    ] {
        assert!(MINIMAL.contains(from), "{from}");
        let document = Document::from_text("gateway.yaml", MINIMAL.replacen(from, to, 1));
        let error = from_document(&document)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(expected),
            "{error}\nshould start with\n{expected}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
