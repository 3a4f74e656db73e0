//! Regions that know each other by certificate, with a link that can be cut between each two.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use gateway::mesh::authority::{Issued, Validity, issue, make_authority};
use serde_json::{Value, json};

use crate::{Client, Gateway, Link};

const HOUR: Duration = Duration::from_secs(3600);

/// Good now.
pub fn valid() -> Validity {
    let now = SystemTime::now();
    Validity {
        from: now - HOUR,
        until: now + HOUR,
    }
}

/// Good until an hour ago.
pub fn expired() -> Validity {
    let now = SystemTime::now();
    Validity {
        from: now - 2 * HOUR,
        until: now - HOUR,
    }
}

/// What the regions of a test are made from.
pub struct MeshPlan {
    /// Vouches for all regions.
    pub authority: Issued,
    regions: Vec<String>,
    links: HashMap<(String, String), Link>,
}

impl MeshPlan {
    /// An authority, and links between all pairs.
    ///
    /// # Panics
    ///
    /// When there are no ports, or keys cannot be made.
    pub async fn new(regions: &[&str]) -> Self {
        let mut links = HashMap::new();
        for from in regions {
            for to in regions {
                links.insert(((*from).to_owned(), (*to).to_owned()), Link::start().await);
            }
        }
        Self {
            authority: make_authority(valid()).expect("an authority can be made"),
            regions: regions.iter().map(ToString::to_string).collect(),
            links,
        }
    }

    /// The way by which `from` reaches `to`; from a region to itself: for its siblings.
    ///
    /// # Panics
    ///
    /// When there is no such region.
    pub fn link(&self, from: &str, to: &str) -> &Link {
        self.links
            .get(&(from.to_owned(), to.to_owned()))
            .unwrap_or_else(|| panic!("no link from {from} to {to}"))
    }

    /// Both ways between two regions.
    pub fn between(&self, one: &str, other: &str) -> [&Link; 2] {
        [self.link(one, other), self.link(other, one)]
    }

    /// The configuration of one of its gateways.
    pub fn configuration(&self, region: &str) -> Value {
        let mut configuration = Gateway::configuration();
        let regions = self.regions.iter().map(
            |name| json!({"name": name, "mesh": self.link(region, name).address().to_string()}),
        );
        configuration["region"] = json!(region);
        configuration["regions"] = regions.collect();
        configuration["mesh"] = json!({
            "listen": "127.0.0.1:0",
            "certificate": "mesh.pem",
            "key": "mesh.key",
            "authorities": ["mesh-ca.pem"],
        });
        configuration["steering"] = json!({
            "health_check": {"interval": "100ms", "timeout": "1s", "down_after": 2, "up_after": 2},
            "slow_start": "0s",
        });
        configuration
    }

    /// Writes what `region` shows and believes.
    ///
    /// # Panics
    ///
    /// When files cannot be written.
    pub fn write(&self, directory: &Path, shown: &Issued) {
        for (name, content) in [
            ("mesh.pem", &shown.certificate),
            ("mesh.key", &shown.key),
            ("mesh-ca.pem", &self.authority.certificate),
        ] {
            std::fs::write(directory.join(name), content).expect("files can be written");
        }
    }

    /// A certificate for `region`.
    ///
    /// # Panics
    ///
    /// When keys cannot be made.
    pub fn issue(&self, region: &str, validity: Validity) -> Issued {
        issue(&self.authority, region, validity).expect("a certificate can be made")
    }

    /// Starts a gateway of `region` that shows `shown`, and lets the links to it lead there.
    pub async fn start_with(&self, region: &str, configuration: &Value, shown: &Issued) -> Gateway {
        let gateway = Gateway::start(configuration, |directory| self.write(directory, shown)).await;
        for from in &self.regions {
            self.link(from, region).lead_to(gateway.address("mesh"));
        }
        gateway
    }

    /// Starts a gateway of `region`.
    pub async fn start(&self, region: &str) -> Gateway {
        let shown = self.issue(region, valid());
        self.start_with(region, &self.configuration(region), &shown)
            .await
    }
}

/// A client in Germany, whose nearest region is `ams3`, at a gateway.
pub fn german_client(gateway: &Gateway) -> Client {
    Client::new(&format!("http://{}", gateway.address("http")), "91.64.0.1")
}

/// What a gateway knows of a region's link.
pub async fn link_seen(gateway: &Gateway, region: &str) -> Value {
    let mesh = gateway.client("admin").get("/api/v1/mesh").await.json();
    let regions = mesh["regions"].as_array().cloned().unwrap_or_default();
    let found = regions.into_iter().find(|link| link["name"] == region);
    found.unwrap_or_default()
}
