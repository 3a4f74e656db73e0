//! Answers to ACME challenges that this region gives, whichever region asked for them.
//!
//! The region that orders a certificate writes its challenges to the store; every region reads them from
//! there into this registry, because the authority may ask any of them. DNS answers come from
//! [`Challenges::lookup`]; TLS-ALPN-01 certificates are made here, each region its own, since all that is
//! shared is the digest of the key authorization. Reads take no lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// How long an answer stays if nobody takes it back. An order takes minutes.
const LONGEST: Duration = Duration::from_secs(3600);

/// One challenge: the domain it is about and the SHA-256 of its key authorization (RFC 8555 section 8.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The domain, without `*.`.
    pub domain: String,
    /// The digest.
    pub digest: [u8; 32],
}

impl Challenge {
    /// The TXT value for DNS-01 (RFC 8555 section 8.4).
    pub fn txt(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.digest)
    }
}

/// The challenges of every order under way, by the certificate's name.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwap<Orders>);

/// When each order's challenges are forgotten, and the challenges.
type Orders = BTreeMap<String, (Instant, Arc<[Challenge]>)>;

impl Challenges {
    /// Answers the challenges of the order for `certificate` from now on; none takes them back.
    pub fn set(&self, certificate: &str, challenges: &[Challenge], now: Instant) {
        self.0.rcu(|before| {
            let mut orders = BTreeMap::clone(before);
            orders.retain(|_, (expires, _)| *expires > now);
            if challenges.is_empty() {
                orders.remove(certificate);
            } else {
                orders.insert(certificate.to_owned(), (now + LONGEST, challenges.into()));
            }
            orders
        });
    }

    /// The TXT values at `name`, such as `_acme-challenge.edge.example.com`, in any case and with or without
    /// the dot at the end. Empty where there are none.
    pub fn lookup(&self, name: &str, now: Instant) -> Vec<String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        const LABEL: &str = "_acme-challenge.";
        let domain = match name.split_at_checked(LABEL.len()) {
            Some((label, domain)) if label.eq_ignore_ascii_case(LABEL) => domain,
            _ => return Vec::new(),
        };
        self.all(now)
            .into_iter()
            .filter(|challenge| challenge.domain.eq_ignore_ascii_case(domain))
            .map(|challenge| challenge.txt())
            .collect()
    }

    /// Every challenge that is answered.
    pub fn all(&self, now: Instant) -> Vec<Challenge> {
        let orders = self.0.load();
        let living = orders.values().filter(|(expires, _)| *expires > now);
        living
            .flat_map(|(_, challenges)| challenges.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_wildcard_are_answered_side_by_side_until_taken_back() {
        let (challenges, now) = (Challenges::default(), Instant::now());
        let one = Challenge {
            domain: "edge.test".into(),
            digest: [1; 32],
        };
        let two = Challenge {
            digest: [2; 32],
            ..one.clone()
        };
        challenges.set("edge.test", std::slice::from_ref(&one), now);
        challenges.set("*.edge.test", std::slice::from_ref(&two), now);
        let mut values = challenges.lookup("_ACME-challenge.Edge.test.", now);
        values.sort();
        assert_eq!(values, [one.txt(), two.txt()]);
        for other in [
            "edge.test",
            "_acme-challenge.test",
            "_acme-challenge.",
            "",
            "é_acme-challenge.x",
        ] {
            assert!(challenges.lookup(other, now).is_empty(), "{other}");
        }
        challenges.set("edge.test", &[], now);
        assert_eq!(
            challenges.lookup("_acme-challenge.edge.test", now),
            [two.txt()]
        );
        assert!(
            challenges
                .lookup("_acme-challenge.edge.test", now + LONGEST)
                .is_empty()
        );
    }
}
