//! The configuration that each of the demo's regions runs with: an ordinary gateway configuration, as
//! an operator would write it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::json;
use serving::listener::TlsFile;

/// What a region's configuration is made from.
pub(super) struct Plan<'a> {
    pub(super) region: &'a str,
    /// Addresses of the region's own listeners.
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    /// What all regions listen on together.
    pub(super) global_http: SocketAddr,
    pub(super) global_https: SocketAddr,
    /// What all regions answer DNS at, and the name that they answer.
    pub(super) dns: SocketAddr,
    pub(super) dns_name: &'a str,
    /// Every region's address, as DNS answers it.
    pub(super) addresses: &'a [IpAddr],
    /// Where this region's mesh listener is.
    pub(super) mesh: SocketAddr,
    /// Every region's name, and its mesh listener as seen from this one.
    pub(super) regions: &'a [(String, SocketAddr)],
    pub(super) tls: &'a TlsFile,
    pub(super) s3_endpoint: String,
    pub(super) bucket: &'a str,
    pub(super) credentials: PathBuf,
    pub(super) admin_token: PathBuf,
    pub(super) cache: PathBuf,
    /// Where drain orders outlive the process.
    pub(super) state: PathBuf,
    /// Where the compute cluster is, and its addresses there.
    pub(super) compute_region: &'a str,
    pub(super) jobs: Vec<String>,
    pub(super) whoami: Vec<String>,
    pub(super) slow_start: String,
}

/// Writes the configuration. JSON is YAML, too, and needs no writer of its own.
pub(super) fn write(plan: &Plan<'_>, path: &Path) -> std::io::Result<()> {
    let regions: Vec<_> = plan
        .regions
        .iter()
        .zip(plan.addresses)
        .map(|((name, address), own)| json!({"name": name, "mesh": address, "addresses": [own]}))
        .collect();
    let name_servers: Vec<_> = (1..)
        .zip(plan.regions)
        .map(|(nth, (region, _))| json!({"name": format!("ns{nth}"), "region": region}))
        .collect();
    let bucket = json!({
        "endpoint": plan.s3_endpoint,
        "bucket": plan.bucket,
        "credentials": {"file": plan.credentials},
    });
    let upstream = |endpoints: &[String]| {
        let here = plan.region == plan.compute_region;
        json!({
            "endpoints": if here { endpoints } else { &[] },
            "regions": [plan.compute_region],
            "health_check": {"path": "/healthz", "interval": "1s", "timeout": "1s"},
        })
    };
    let upstreams: BTreeMap<_, _> = [
        ("jobs", upstream(&plan.jobs)),
        ("whoami", upstream(&plan.whoami)),
    ]
    .into();
    let listener = |name: &str, address: SocketAddr, tls: &[&TlsFile]| json!({"name": name, "address": address, "share_port": true, "tls": tls});
    let mut listeners = vec![
        listener("own", plan.http, &[]),
        listener("global-http", plan.global_http, &[]),
        listener("global-https", plan.global_https, &[plan.tls]),
    ];
    // What DNS answers leads somewhere: to this region, at the global ports. Only Linux has all of 127.0.0.0/8.
    let own = plan
        .regions
        .iter()
        .position(|(name, _)| name == plan.region);
    let own = own.and_then(|at| plan.addresses.get(at));
    if let Some(own) = own.filter(|_| cfg!(target_os = "linux")) {
        let at = |global: SocketAddr| SocketAddr::new(*own, global.port());
        listeners.push(listener("steered-http", at(plan.global_http), &[]));
        listeners.push(listener(
            "steered-https",
            at(plan.global_https),
            &[plan.tls],
        ));
    }
    let configuration = json!({
        "region": plan.region,
        "regions": regions,
        "listeners": listeners,
        "admin": {"address": plan.admin, "token": {"file": plan.admin_token}},
        // A client on loopback may say where it is, and that it was carried. The other regions are known by
        // their certificates.
        "trusted_proxies": ["127.0.0.0/8"],
        "peers": ["127.0.0.0/8"],
        "mesh": {
            "listen": plan.mesh,
            "share_port": true,
            "certificate": format!("mesh-{}.pem", plan.region),
            "key": format!("mesh-{}.key", plan.region),
            "authorities": ["mesh-ca.pem"],
        },
        "steering": {
            "health_check": {"interval": "250ms", "timeout": "1s", "down_after": 2, "up_after": 2},
            "slow_start": plan.slow_start,
            "explain": {"anyone": true},
        },
        "asset_server": {"embedded": {
            "mounts": [{"path": "/assets/", "origin": {"s3": bucket}}],
            "memory": {"size": "128MiB", "max_object": "64MiB"},
            "disk": {"path": plan.cache, "size": "1GiB"},
            // The other regions hear of purges over the mesh.
            "purge": {"log": {"s3": bucket}},
        }},
        "dns": {
            "listen": [plan.dns],
            "share_port": true,
            "rate_limit": {"exempt": ["127.0.0.0/8"]},
            "zones": [{
                "name": plan.dns_name,
                "name_servers": name_servers,
                "steered": [{"name": "@", "ttl": "5s", "alpn": ["h2", "http/1.1"]}],
                "records": [{"name": "www", "type": "CNAME", "values": ["@"]}],
            }],
        },
        "upstreams": upstreams,
        "routes": [
            {"name": "assets", "match": {"path": {"prefix": "/assets/"}}, "action": "assets"},
            {"name": "jobs", "match": {"path": {"prefix": "/jobs"}}, "action": {"upstream": {"name": "jobs"}}},
            {"name": "whoami", "match": {"path": {"prefix": "/whoami"}}, "action": {"upstream": {"name": "whoami"}}},
        ],
        "state_directory": plan.state,
        "drain_timeout": "5s",
    });
    std::fs::write(path, serde_json::to_string_pretty(&configuration)?)
}
