//! The key material of the mesh: this region's certificate and key, and the authorities that vouch for
//! the others. Read at the start and whenever a file is replaced; a bad file keeps what is in use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serving::listener::{ClientId, MutualTls};

use super::identity;
use super::link::Links;
use crate::region::RegionSet;

/// Where the key material is.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// PEM: this region's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: authorities that regions' certificates are checked against. No other is believed.
    pub authorities: Vec<PathBuf>,
}

impl KeyFiles {
    /// All of them, to watch.
    pub fn all(&self) -> Vec<PathBuf> {
        let mut all = vec![self.certificate.clone(), self.key.clone()];
        all.extend(self.authorities.iter().cloned());
        all
    }
}

/// Why key material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file is missing or is not PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: rustls_pki_types::pem::Error,
    },
    /// A file of authorities has none.
    #[error("mesh.authorities: no certificate authority can be read from these files")]
    NoAuthority,
    /// The certificate is another region's, or nobody's.
    #[error("{}: the certificate is for {found}, and this region's name there would be {expected}", path.display())]
    OtherRegion {
        /// The file.
        path: PathBuf,
        /// Regions that it is for.
        found: String,
        /// The name that it should have.
        expected: String,
    },
    /// The key does not fit, or the certificate cannot be used at all.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// The library's reason.
        source: rustls::Error,
    },
}

/// Key material that is ready to use.
#[derive(Clone)]
pub struct Keys {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// Why the other regions will not take our certificate, such as that it has expired. We go on
    /// serving without them.
    pub trouble: Option<String>,
    /// When our certificate expires.
    pub expires: SystemTime,
}

impl Keys {
    /// Reads the files of `region`.
    pub fn load(files: &KeyFiles, region: &str) -> Result<Self, KeysError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
        let leaf = chain
            .first()
            .ok_or_else(|| pem(&files.certificate)(rustls_pki_types::pem::Error::NoItemsFound))?;
        let regions = identity::regions_of(leaf);
        if regions != [region] {
            return Err(KeysError::OtherRegion {
                path: files.certificate.clone(),
                found: if regions.is_empty() {
                    "no region".into()
                } else {
                    regions.join(", ")
                },
                expected: identity::dns_name(region),
            });
        }
        let mut roots = RootCertStore::empty();
        for file in &files.authorities {
            roots.add_parsable_certificates(certificates(file)?);
        }
        let unusable = |source| KeysError::Unusable {
            path: files.certificate.clone(),
            source,
        };
        let roots = Arc::new(roots);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|_| KeysError::NoAuthority)?;
        let trouble = verifier
            .verify_client_cert(leaf, chain.get(1..).unwrap_or_default(), UnixTime::now())
            .err()
            .map(|error| error.to_string());
        let expires = expiry(leaf);
        let client = client_config(&provider, roots, &chain, &key).map_err(unusable)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key)
            .map_err(unusable)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session is not checked again, so an expired certificate would live on in it.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
            trouble,
            expires,
        })
    }
}

impl Keys {
    /// What accepts the other regions' connections: those whose certificate is for one region of the
    /// fleet, which may be our own.
    pub fn acceptor(&self, regions: &RegionSet) -> Arc<MutualTls> {
        let names: Vec<_> = regions
            .iter()
            .map(|(index, region)| (index, region.name))
            .collect();
        MutualTls::new(self.server.clone(), move |certificate| {
            let [name] = identity::regions_of(certificate).try_into().ok()?;
            let found = names.iter().find(|(_, known)| known.as_str() == name)?;
            Some(ClientId(u16::from(found.0.0)))
        })
    }

    /// Puts new key material in place of what `acceptor` and `links` have.
    pub fn put(&self, acceptor: &MutualTls, links: &Links, regions: &RegionSet) {
        acceptor.replace(self.server.clone());
        links.renew(regions, self);
    }
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, KeysError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(pem(path))
}

fn pem(path: &std::path::Path) -> impl Fn(rustls_pki_types::pem::Error) -> KeysError {
    move |source| KeysError::Pem {
        path: path.to_owned(),
        source,
    }
}

/// `notAfter` of a certificate; the epoch where it cannot be read.
fn expiry(certificate: &CertificateDer<'_>) -> SystemTime {
    let seconds = x509_parser::parse_x509_certificate(certificate)
        .ok()
        .and_then(|(_, parsed)| u64::try_from(parsed.validity().not_after.timestamp()).ok());
    UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests;
