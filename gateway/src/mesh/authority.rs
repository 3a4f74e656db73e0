//! A certificate authority of the operator's own, and the certificates it gives to regions. What
//! `gateway mesh-ca` and `gateway mesh-certificate` do; any other private authority does as well.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::identity::dns_name;

/// A certificate and its private key, both PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key. Whoever has it is the region, or the authority.
    pub key: String,
}

/// From when until when a certificate is good. Start it an hour early: clocks differ.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// Not before.
    pub from: SystemTime,
    /// Not after.
    pub until: SystemTime,
}

/// A new authority. It may sign certificates of ends only, no further authorities.
pub fn make_authority(validity: Validity) -> Result<Issued, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Two authorities must not have one name: what fails between them would look like a forgery.
    let name = format!("Edge mesh authority {:08x}", fastrand::u32(..));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for `region` with a key of its own, for both ends of a connection.
pub fn issue(authority: &Issued, region: &str, validity: Validity) -> Result<Issued, rcgen::Error> {
    let authority_key = KeyPair::from_pem(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, authority_key)?;
    let mut params = CertificateParams::new(vec![dns_name(region)])?;
    params.distinguished_name.push(DnType::CommonName, region);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
