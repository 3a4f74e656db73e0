//! Certificates for names that many clusters serve, had from an authority by ACME (RFC 8555).
//!
//! For each name one `keeper` runs in every gateway. All of them read the store; when a certificate is due
//! ([`renewal`]), one takes the [`lease`], makes the [`order`], answers the [`challenges`] through every
//! region, and puts the result, sealed ([`envelope`], [`vault`]), where the others pick it up. Listeners
//! serve what is in [`Issued`]: a self-signed placeholder before the first certificate, and never nothing.
//!
//! Not for certificates in files: `serving::listener` reads those. HTTP-01 is not here on purpose: with one
//! name in many clusters the authority's request arrives at any of them, and cluster-wide tools answer only
//! in their own.

mod acme_client;

mod certificate;

pub mod challenges;

pub mod envelope;

mod keeper;

pub mod lease;

mod metrics;

pub mod order;

pub mod renewal;

pub mod vault;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use asset_server::config::{Origin, OriginLimits};
use asset_server::store::{self, Condition, DirectoryStore, StoreConnectError};
use aws_lc_rs::digest;
use prometheus::Registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::admin::Finding;
use serving::drain::Drain;
use serving::listener::Issued;

use self::acme_client::AcmeClient;
use self::challenges::{Challenge, Challenges};
use self::envelope::Keys;
use self::keeper::Keeper;
use self::metrics::{Metrics, NameMetrics};
use self::renewal::Validity;
use self::vault::{Vault, VaultError};
use crate::upstream::Roots;

/// How it is proven that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChallengeKind {
    /// A TXT record that our own DNS answers (RFC 8555 section 8.4). Wildcards need it.
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate that our listeners answer with on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl ChallengeKind {
    /// Its name in ACME.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// A certificate authority and our account there.
#[derive(Debug)]
pub struct Acme {
    /// Its directory.
    pub directory_url: String,
    /// `mailto:` addresses.
    pub contact: Vec<String>,
    /// Whether its terms are agreed to.
    pub terms_of_service_agreed: bool,
    /// An account elsewhere that ours is bound to: key id and MAC key.
    pub external_account: Option<(String, Vec<u8>)>,
    /// How names are proven.
    pub challenge: ChallengeKind,
    /// Pause after a first failure; it doubles.
    pub backoff: Duration,
    /// What of the store is this authority's.
    pub folder: String,
}

impl Acme {
    /// The folder of an authority: a change of authority begins anew, and gateways that are still configured
    /// for the one before do not undo it.
    pub fn folder(directory_url: &str) -> String {
        let hash = digest::digest(&digest::SHA256, directory_url.as_bytes());
        hash.as_ref()
            .iter()
            .take(8)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// The complete configuration of certificates.
#[derive(Debug)]
pub struct CertificatesConfig {
    /// The authority.
    pub acme: Acme,
    /// The authorities that its own TLS certificate is checked against, beside the system's.
    pub authorities: Vec<std::path::PathBuf>,
    /// Names to have certificates for.
    pub names: Vec<String>,
    /// Bucket or directory that all regions share.
    pub store: Origin,
    /// How the bucket is asked.
    pub limits: OriginLimits,
    /// A directory of this machine, to start from when the store is away.
    pub local_copy: Option<std::path::PathBuf>,
    /// Keys that seal what is stored.
    pub keys: Keys,
    /// How often the store is read.
    pub poll_interval: Duration,
    /// How long a lease protects its holder after each renewal.
    pub lease: Duration,
}

/// Why certificates cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be set up.
    #[error("store: {0}")]
    Store(#[from] StoreConnectError),
    /// A placeholder cannot be made.
    #[error("{0}")]
    Placeholder(String),
    /// Two metrics have one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What all keepers share.
struct Shared {
    acme: Acme,
    client: AcmeClient,
    vault: Vault,
    local_copy: Option<Vault>,
    issued: Arc<Issued>,
    challenges: Arc<Challenges>,
    holder: String,
    poll_interval: Duration,
    lease: Duration,
    metrics: Metrics,
    drain: Drain,
    keys_agreed: AtomicBool,
}

impl Shared {
    /// Time after which every region has read the challenges that are in the store now: one poll that just
    /// missed them, one that reads them, and the answer's way.
    fn spread_time(&self) -> Duration {
        self.poll_interval * 2 + Duration::from_secs(1)
    }

    /// Makes sure once that the fleet's keys are ours, before anything is written: what one gateway sealed
    /// with a key of its own would stand in the way of all others.
    async fn agree_on_keys(&self) -> Result<(), VaultError> {
        const OBJECT: &str = "keys";
        if self.keys_agreed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let condition = match self.vault.get::<u8>(OBJECT).await? {
            Some(found) if found.current_key => None,
            Some(found) => Some(found.etag.map_or(Condition::Always, Condition::Match)),
            None => Some(Condition::Absent),
        };
        if let Some(condition) = condition {
            match self.vault.put(OBJECT, &1_u8, &condition).await {
                // Another was faster; its key must be ours, too.
                Err(error) if error.is_conflict() => drop(self.vault.get::<u8>(OBJECT).await?),
                written => written?,
            }
        }
        self.keys_agreed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn challenge_object(&self, name: &str) -> String {
        format!("{}/challenges/{name}", self.acme.folder)
    }

    /// Answers these challenges of the order for `name`, and no others.
    fn answer(&self, name: &str, challenges: &[Challenge], now: Instant) {
        let before = self.challenges.all(now);
        self.challenges.set(name, challenges, now);
        let all = self.challenges.all(now);
        if self.acme.challenge != ChallengeKind::TlsAlpn01 || before == all {
            return;
        }
        let made = all.iter().filter_map(|challenge| {
            let certified = certificate::validation(challenge)
                .inspect_err(|error| tracing::error!(%error, "a challenge cannot be answered"))
                .ok()?;
            Some((challenge.domain.clone(), certified))
        });
        self.issued.set_challenges(made.collect::<HashMap<_, _>>());
    }
}

/// How one name is doing.
struct State {
    metrics: NameMetrics,
    known: Mutex<(Option<Validity>, Option<String>)>,
}

impl State {
    /// Whether it is another trouble than before.
    fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = known.1 != trouble;
        known.1 = trouble;
        changed
    }

    fn set_served(&self, validity: Option<Validity>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0 = validity;
    }
}

/// Certificates that are being kept, for listeners, DNS and readiness.
#[derive(Clone)]
pub struct Certificates {
    issued: Arc<Issued>,
    challenges: Arc<Challenges>,
    states: Arc<BTreeMap<String, Arc<State>>>,
}

impl Certificates {
    /// Begins to keep certificates until the drain begins. `region` names the holder of leases.
    pub fn start(
        config: CertificatesConfig,
        roots: &Roots,
        region: &str,
        registry: &Registry,
        drain: &Drain,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::register(registry)?;
        let keys = Arc::new(config.keys);
        let issued = Arc::new(Issued::default());
        let challenges = Arc::new(Challenges::default());
        let local_copy = config
            .local_copy
            .map(|path| Vault::new(Arc::new(DirectoryStore::new(path)), keys.clone()));
        let shared = Arc::new(Shared {
            acme: config.acme,
            client: AcmeClient::new(roots),
            vault: Vault::new(store::connect(&config.store, &config.limits)?, keys),
            local_copy,
            issued: issued.clone(),
            challenges: challenges.clone(),
            holder: format!("{region}/{:016x}", fastrand::u64(..)),
            poll_interval: config.poll_interval,
            lease: config.lease,
            metrics: metrics.clone(),
            drain: drain.clone(),
            keys_agreed: AtomicBool::new(false),
        });
        let mut states = BTreeMap::new();
        for name in config.names {
            let placeholder = certificate::placeholder(&name)
                .map_err(|error| StartError::Placeholder(error.to_string()))?;
            issued.install(&name, &placeholder);
            let state = Arc::new(State {
                metrics: metrics.name(&name),
                known: Mutex::default(),
            });
            drain.spawn(Keeper::new(shared.clone(), state.clone(), name.clone()).run());
            states.insert(name, state);
        }
        Ok(Self {
            issued,
            challenges,
            states: Arc::new(states),
        })
    }

    /// What listeners serve.
    pub fn issued(&self) -> Arc<Issued> {
        self.issued.clone()
    }

    /// What DNS answers at `_acme-challenge` names.
    pub fn challenges(&self) -> Arc<Challenges> {
        self.challenges.clone()
    }

    /// What is not as it should be. None of it keeps the gateway from being ready: other names are served.
    pub fn findings(&self, now: SystemTime) -> Vec<Finding> {
        let finding = |(name, state): (&String, &Arc<State>)| {
            let known = state.known.lock().unwrap_or_else(PoisonError::into_inner);
            let standing = match known.0 {
                None => Some("there is none yet, a self-signed placeholder is served".to_owned()),
                Some(validity) if renewal::is_alarming(validity, now) => {
                    let hours = validity.left(now).as_secs() / 3600;
                    Some(format!("it ends in {hours} hours"))
                }
                Some(_) => None,
            };
            let why: Vec<String> = standing.into_iter().chain(known.1.clone()).collect();
            (!why.is_empty()).then(|| Finding {
                what: format!("certificate for {name}"),
                why: why.join("; "),
                blocking: false,
            })
        };
        self.states.iter().filter_map(finding).collect()
    }
}

/// The first of `names` that lies in none of `zones`: our DNS cannot answer for it.
pub fn outside_of<'a>(names: &'a [String], zones: &[String]) -> Option<&'a str> {
    let is_in = |name: &str, zone: &str| {
        let zone = zone.trim_end_matches('.');
        name == zone
            || name
                .strip_suffix(zone)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let outside = |name: &&String| {
        let domain = name.strip_prefix("*.").unwrap_or(name);
        !zones.iter().any(|zone| is_in(domain, zone))
    };
    names.iter().find(outside).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::outside_of;

    #[test]
    fn names_that_our_dns_cannot_answer_for_are_found() {
        let zones = ["edge.test.".to_owned()];
        let names = ["edge.test", "*.edge.test", "a.edge.test"].map(str::to_owned);
        assert_eq!(outside_of(&names, &zones), None);
        let names = ["edge.test", "ledge.test"].map(str::to_owned);
        assert_eq!(outside_of(&names, &zones), Some("ledge.test"));
        assert_eq!(outside_of(&names, &[]), Some("edge.test"));
    }
}
