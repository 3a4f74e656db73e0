//! What the demo says of itself once everything is up: a line of JSON, or a page for people.

use serde::{Deserialize, Serialize};

use super::s3_store::REQUESTS_PATH;
use super::samples;

/// Every address of a running demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// What the one URL leads to: any living region.
    pub global: Urls,
    /// Path of the demo's CA certificate.
    pub ca: String,
    /// The regions.
    pub regions: Vec<ReadyRegion>,
    /// The authoritative DNS.
    pub dns: Dns,
    /// The S3 store.
    pub s3: S3,
    /// The compute cluster.
    pub compute: String,
    /// The dashboard.
    pub dashboard: String,
    /// Path of the token that the private listeners want for changes.
    pub admin_token: String,
    /// Paths of the sample assets.
    pub samples: Vec<String>,
}

/// One address with and without TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Urls {
    /// Without.
    pub http: String,
    /// With, for certificates of [`Ready::ca`].
    pub https: String,
}

/// One region of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyRegion {
    /// Its name.
    pub name: String,
    /// Its gateway's process.
    pub pid: u32,
    /// Its gateway without steering by anybody else.
    pub http: String,
    /// Its private listener.
    pub admin: String,
    /// Its configuration file, for `gateway explain`.
    pub config: String,
}

/// The DNS server and the name that it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dns {
    /// Address and port.
    pub address: String,
    /// The global name.
    pub name: String,
}

/// How to reach the S3 store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct S3 {
    /// Base URL, path style.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The owner's access key.
    pub access_key: String,
    /// The owner's secret key.
    pub secret_key: String,
}

/// Clients in three places, by an address that the built-in geo data puts there.
pub const CLIENTS: [(&str, &str); 3] = [
    ("Berlin", "91.64.0.1"),
    ("Chicago", "128.135.0.1"),
    ("Jakarta", "36.66.0.1"),
];

impl Ready {
    /// The page that a person sees, with seven things to try.
    pub fn page(&self, binary: &str) -> String {
        use std::fmt::Write as _;
        let mut page = String::new();
        let global = &self.global.http;
        let _ = writeln!(
            page,
            "One URL     {global}  {}  (CA: {})",
            self.global.https, self.ca
        );
        for region in &self.regions {
            let _ = writeln!(
                page,
                "  {}      {}  admin {}  pid {}",
                region.name, region.http, region.admin, region.pid
            );
        }
        let _ = writeln!(
            page,
            "S3 store    {}  bucket {}",
            self.s3.endpoint, self.s3.bucket
        );
        let _ = writeln!(page, "Compute     {}", self.compute);
        let _ = writeln!(
            page,
            "DNS         {}  name {}",
            self.dns.address, self.dns.name
        );
        let _ = writeln!(page, "Dashboard   {}", self.dashboard);
        let _ = writeln!(page, "Admin token {}", self.admin_token);
        let sample = self.samples.first().map_or("/", String::as_str);
        let _ = writeln!(page, "\nSeven things to try:");
        let _ = writeln!(
            page,
            "\n1. Users in three places are answered from three regions; the second time from its cache."
        );
        for (city, ip) in CLIENTS {
            let _ = writeln!(
                page,
                "   curl -s -o /dev/null -D- -H 'X-Forwarded-For: {ip}' {global}{sample} | grep -Ei '^(x-edge-region|cache-status|server-timing)'  # {city}"
            );
        }
        let _ = writeln!(
            page,
            "\n2. Why there? The ranking for a client, each place with its reason."
        );
        let _ = writeln!(
            page,
            "   {binary} explain --config {} {}",
            self.regions[0].config, CLIENTS[2].1
        );
        let _ = writeln!(
            page,
            "\n3. A job runs on the compute cluster in {}, wherever it was submitted; watch its log.",
            self.regions[0].name
        );
        let _ = writeln!(
            page,
            "   curl -sN -H 'X-Forwarded-For: {}' {global}$(curl -s -o /dev/null -w '%header{{location}}' -H 'content-type: application/json' -d '{{\"name\":\"pi\",\"steps\":5}}' {global}/jobs)/logs",
            CLIENTS[2].1
        );
        let _ = writeln!(
            page,
            "\n4. A region dies: its users are answered by the next one. It is started again after a while."
        );
        let last = &self.regions[self.regions.len() - 1];
        let _ = writeln!(
            page,
            "   kill -9 {}; for i in $(seq 45); do curl -s -o /dev/null -w '%{{http_code}} %header{{x-edge-region}}\\n' -H 'X-Forwarded-For: {}' {global}{sample}; sleep 1; done",
            last.pid, CLIENTS[2].1
        );
        let large = samples::large().path();
        let jakarta = format!("-H 'X-Forwarded-For: {}'", CLIENTS[2].1);
        let far = &last.http;
        let requests = format!("curl -s {}{REQUESTS_PATH}", self.s3.endpoint);
        let _ = writeln!(
            page,
            "\n5. A range of a large object, far from the store: one slice is fetched. Then all of it: the others, several at once."
        );
        let _ = writeln!(
            page,
            "   curl -s -o /dev/null -D- -r 33554432-34603007 {jakarta} {far}{large}; {requests}"
        );
        let _ = writeln!(
            page,
            "   curl -o /dev/null {jakarta} {far}{large}; {requests}"
        );
        let _ = writeln!(
            page,
            "\n6. A purge, asked for in {}: the answer names every region that has done it.",
            self.regions[1].name
        );
        let _ = writeln!(
            page,
            "   curl -sw '\\n' -X POST -H \"Authorization: Bearer $(cat {})\" -d '{{\"key\": \"{large}\"}}' '{}/api/v1/purge?wait=5s'",
            self.admin_token, self.regions[1].admin
        );
        let _ = writeln!(
            page,
            "\n7. {} gets no users until it is undrained, whatever restarts; then they come back a few at a time.",
            last.name
        );
        for order in [
            format!("drain {} --reason 'new disks'", last.name),
            format!("undrain {}", last.name),
        ] {
            let _ = writeln!(
                page,
                "   {binary} {order} --admin {} --token-file {}",
                self.regions[1].admin, self.admin_token
            );
        }
        let (server, port) = self.dns.address.rsplit_once(':').unwrap_or_default();
        let _ = writeln!(
            page,
            "\n8. DNS leads resolvers of three continents to three regions: 127.0.0.11 is {}, .12 {}, .13 {}.",
            self.regions[0].name, self.regions[1].name, self.regions[2].name
        );
        for (city, ip) in CLIENTS {
            let _ = writeln!(
                page,
                "   dig @{server} -p {port} {} +subnet={ip}/24 +short  # {city}",
                self.dns.name
            );
        }
        let _ = writeln!(page, "\nCtrl-C ends everything and leaves nothing behind.");
        page
    }
}
