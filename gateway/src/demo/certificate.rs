//! The demo's certificate authority and the one certificate that all its regions use.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serving::listener::TlsFile;

/// Where the files are.
pub(super) struct Certificate {
    pub(super) authority: PathBuf,
    pub(super) served: TlsFile,
}

/// Names the certificate is for.
const NAMES: [&str; 5] = ["edge.test", "*.edge.test", "localhost", "127.0.0.1", "::1"];

/// Makes an authority and a certificate from it. The authority's key is forgotten.
pub(super) fn make(
    directory: &Path,
) -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority
        .distinguished_name
        .push(DnType::CommonName, "Edge demo authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut served = CertificateParams::new(NAMES.map(String::from))?;
    served
        .distinguished_name
        .push(DnType::CommonName, "edge.test");
    let key = KeyPair::generate()?;
    let certificate = served.signed_by(&key, &Issuer::new(authority, authority_key))?;

    let made = Certificate {
        authority: directory.join("ca.pem"),
        served: TlsFile {
            certificate: directory.join("edge.pem"),
            key: directory.join("edge.key"),
        },
    };
    std::fs::write(&made.authority, authority_certificate.pem())?;
    std::fs::write(&made.served.certificate, certificate.pem())?;
    std::fs::write(&made.served.key, key.serialize_pem())?;
    Ok(made)
}
