//! Certificates by server name (RFC 6066 section 3), replaced as a whole when their files change.

mod issued;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::issued::Issued;

/// One certificate chain and its key, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// PEM file with the certificate and its intermediates, leaf first.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// Why certificates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is not PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// File at fault.
        path: PathBuf,
        /// The parser's reason.
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate holds no certificate, or does not fit the key.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// File at fault.
        path: PathBuf,
        /// The reason.
        source: rustls::Error,
    },
}

/// The certificates of one listener. Open connections keep what they began with.
pub struct Certificates {
    files: Vec<TlsFile>,
    by_name: ArcSwap<ByName>,
    /// Names whose certificates are handed in, in the order of the configuration.
    names: Vec<String>,
    issued: Arc<Issued>,
}

#[derive(Default)]
struct ByName {
    names: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no server, or one we have no certificate for: the first one written.
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Loads every file; paths are as they should be opened.
    pub fn load(files: Vec<TlsFile>) -> Result<Arc<Self>, TlsError> {
        Self::load_beside(files, Vec::new(), Arc::default())
    }

    /// The same beside certificates that are handed in for `names`. A certificate from a file is preferred
    /// where both have a name.
    pub fn load_beside(
        files: Vec<TlsFile>,
        names: Vec<String>,
        issued: Arc<Issued>,
    ) -> Result<Arc<Self>, TlsError> {
        let by_name = read(&files)?;
        Ok(Arc::new(Self {
            files,
            by_name: ArcSwap::from_pointee(by_name),
            names,
            issued,
        }))
    }

    /// Reads the files again. A fault keeps the certificates in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.by_name.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// The files to watch.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .flat_map(|file| [file.certificate.clone(), file.key.clone()])
            .collect()
    }

    pub(super) fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions");
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if !self.names.is_empty() {
            config.alpn_protocols.push(issued::ACME_TLS.to_vec());
        }
        Arc::new(config)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if issued::is_validation(&hello) {
            return self.issued.challenge(hello.server_name()?);
        }
        let by_name = self.by_name.load();
        let known = |name: &str| {
            let issued = || {
                let served = self.names.iter().any(|own| own == name);
                served.then(|| self.issued.get(name)).flatten()
            };
            by_name.names.get(name).cloned().or_else(issued)
        };
        let named = hello.server_name().and_then(|name| {
            let wildcard = || known(&format!("*.{}", name.split_once('.')?.1));
            known(name).or_else(wildcard)
        });
        named
            .or_else(|| by_name.first.clone())
            .or_else(|| self.issued.get(self.names.first()?))
    }
}

fn read(files: &[TlsFile]) -> Result<ByName, TlsError> {
    let mut by_name = ByName::default();
    for file in files {
        let pem = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Pem { path, source }
        };
        let certificate = |source| TlsError::Certificate {
            path: file.certificate.clone(),
            source,
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(&file.certificate)
            .and_then(Iterator::collect)
            .map_err(pem(&file.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&file.key).map_err(pem(&file.key))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(certificate)?;
        let certified = Arc::new(certified);
        let leaf = certified.end_entity_cert().map_err(certificate)?;
        if let Ok(leaf) = webpki::EndEntityCert::try_from(leaf) {
            for name in leaf.valid_dns_names() {
                by_name
                    .names
                    .entry(name.to_ascii_lowercase())
                    .or_insert_with(|| certified.clone());
            }
        }
        by_name.first.get_or_insert(certified);
    }
    Ok(by_name)
}

#[cfg(test)]
mod tests;
