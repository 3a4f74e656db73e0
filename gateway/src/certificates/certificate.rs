//! A certificate with its key, as it lies in the store and as it is served.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use super::challenges::Challenge;
use super::renewal::Validity;

/// A certificate as it lies in the store, sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Leaf first, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
    /// Who ordered it, for logs.
    pub ordered_by: String,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no PEM.
    #[error("not PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// There is none.
    #[error("no certificate in it")]
    Empty,
    /// It is no certificate.
    #[error("not a certificate")]
    Malformed,
    /// It is another name's.
    #[error("the certificate is not for {0}")]
    Name(String),
    /// It does not fit its key.
    #[error("certificate and key: {0}")]
    Key(#[from] rustls::Error),
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// Chain and key.
    pub certified: Arc<CertifiedKey>,
    /// How long it is valid.
    pub validity: Validity,
}

impl Stored {
    /// Parses it; it must be for `name` and fit its key.
    pub(super) fn parse(&self, name: &str) -> Result<Served, CertificateError> {
        let chain =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let leaf = chain.first().ok_or(CertificateError::Empty)?;
        let validity = inspect(leaf, name)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        Ok(Served {
            certified: Arc::new(certified),
            validity,
        })
    }
}

/// How long a certificate is valid that must be for `name`.
fn inspect(leaf: &CertificateDer<'_>, name: &str) -> Result<Validity, CertificateError> {
    let (_, parsed) =
        parse_x509_certificate(leaf.as_ref()).map_err(|_| CertificateError::Malformed)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let is_for_name =
        names.is_some_and(|names| {
            names.value.general_names.iter().any(
                |own| matches!(own, GeneralName::DNSName(own) if own.eq_ignore_ascii_case(name)),
            )
        });
    if !is_for_name {
        return Err(CertificateError::Name(name.to_owned()));
    }
    let validity = parsed.validity();
    Ok(Validity {
        from: time(validity.not_before),
        until: time(validity.not_after),
    })
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A key, and a signing request for `name` in DER.
pub(super) fn request(name: &str) -> Result<(KeyPair, Vec<u8>), CertificateError> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?.der().to_vec();
    Ok((key, request))
}

/// What is served for `name` before there is a certificate: nobody trusts it, but the port answers.
pub(super) fn placeholder(name: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
    self_signed(&CertificateParams::new(vec![name.to_owned()])?)
}

/// The certificate that answers a TLS-ALPN-01 challenge (RFC 8737 section 3).
pub(super) fn validation(challenge: &Challenge) -> Result<Arc<CertifiedKey>, CertificateError> {
    let mut params = CertificateParams::new(vec![challenge.domain.clone()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&challenge.digest)];
    self_signed(&params)
}

fn self_signed(params: &CertificateParams) -> Result<Arc<CertifiedKey>, CertificateError> {
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let chain = vec![certificate.der().clone()];
    // Not `from_der`: it parses the certificate, and refuses the critical extension of a challenge.
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key.into())?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(name: &str) -> Stored {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Stored {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            ordered_by: "ams3".into(),
        }
    }

    #[test]
    fn a_certificate_is_served_for_its_own_name_with_its_own_key_only() {
        let (one, other) = (made("*.edge.test"), made("*.edge.test"));
        let served = one.parse("*.edge.test").unwrap();
        assert!(served.validity.from < served.validity.until);
        assert!(matches!(
            one.parse("edge.test"),
            Err(CertificateError::Name(_))
        ));
        let mixed = Stored {
            key: other.key,
            ..one.clone()
        };
        assert!(matches!(
            mixed.parse("*.edge.test"),
            Err(CertificateError::Key(_))
        ));
        let empty = Stored {
            chain: String::new(),
            ..one
        };
        assert!(matches!(
            empty.parse("*.edge.test"),
            Err(CertificateError::Empty)
        ));
    }

    #[test]
    fn a_challenge_is_answered_with_its_name_and_digest_in_a_critical_extension() {
        let challenge = Challenge {
            domain: "edge.test".into(),
            digest: [7; 32],
        };
        let certified = validation(&challenge).unwrap();
        let leaf = certified.end_entity_cert().unwrap();
        inspect(leaf, "edge.test").unwrap();
        let (_, parsed) = parse_x509_certificate(leaf.as_ref()).unwrap();
        let extension = parsed
            .extensions()
            .iter()
            .find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let extension = extension.unwrap();
        assert!(extension.critical && extension.value.ends_with(&[7; 32]));
    }

    proptest! {
        #[test]
        fn hostile_certificates_are_refused(der: Vec<u8>, at: prop::sample::Index, cut: prop::sample::Index) {
            let _ = inspect(&CertificateDer::from(der), "edge.test");
            let genuine = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
            let mut changed = genuine.cert.der().to_vec();
            let at = at.index(changed.len());
            changed[at] ^= 0x55;
            let _ = inspect(&CertificateDer::from(changed.clone()), "edge.test");
            changed.truncate(cut.index(changed.len()));
            prop_assert!(inspect(&CertificateDer::from(changed), "edge.test").is_err());
        }
    }
}
