//! Certificates that do not come from files but are handed in while we serve, by name.
//!
//! Beside them stand the certificates that answer TLS-ALPN-01 challenges (RFC 8737): they are given only
//! to a client that offers `acme-tls/1` and nothing else, and no other client ever sees them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol of TLS-ALPN-01 (RFC 8737 section 6.2).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

type ByName = HashMap<String, Arc<CertifiedKey>>;

/// Certificates by name, shared by all listeners that serve one of them.
#[derive(Default)]
pub struct Issued {
    certificates: ArcSwap<ByName>,
    challenges: ArcSwap<ByName>,
}

impl Issued {
    /// Serves `key` for `name` (`*.example.com` for all names one label below) from the next handshake on.
    pub fn install(&self, name: &str, key: &Arc<CertifiedKey>) {
        self.certificates.rcu(|before| {
            let mut by_name = ByName::clone(before);
            by_name.insert(name.to_owned(), key.clone());
            by_name
        });
    }

    /// The challenge certificates from now on, in place of those before.
    pub fn set_challenges(&self, by_name: HashMap<String, Arc<CertifiedKey>>) {
        self.challenges.store(Arc::new(by_name));
    }

    /// What is served for `name`.
    pub fn get(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.load().get(name).cloned()
    }

    pub(super) fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.challenges.load().get(name).cloned()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.certificates.load().keys().cloned().collect();
        f.debug_struct("Issued").field("names", &names).finish()
    }
}

/// Whether a client asks for the answer to a challenge (RFC 8737 section 3).
pub(super) fn is_validation(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut protocols| {
        protocols.next() == Some(ACME_TLS) && protocols.next().is_none()
    })
}
