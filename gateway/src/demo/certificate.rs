//! The demo's certificate authority and the one certificate that all its regions serve, and the
//! certificates by which the regions know each other.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serving::listener::TlsFile;

use crate::mesh::authority::{Validity, issue, make_authority};

/// Where the files are.
pub(super) struct Certificate {
    pub(super) authority: PathBuf,
    pub(super) served: TlsFile,
}

/// Names the certificate is for.
const NAMES: [&str; 5] = ["edge.test", "*.edge.test", "localhost", "127.0.0.1", "::1"];

/// Makes an authority for the links between regions, and a certificate from it for each.
pub(super) fn make_for_mesh(
    directory: &Path,
    regions: &[&str],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let now = SystemTime::now();
    let validity = Validity {
        from: now - Duration::from_secs(3600),
        until: now + Duration::from_secs(30 * 86_400),
    };
    let authority = make_authority(validity)?;
    std::fs::write(directory.join("mesh-ca.pem"), &authority.certificate)?;
    for region in regions {
        let issued = issue(&authority, region, validity)?;
        std::fs::write(
            directory.join(format!("mesh-{region}.pem")),
            issued.certificate,
        )?;
        std::fs::write(directory.join(format!("mesh-{region}.key")), issued.key)?;
    }
    Ok(())
}

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
