//! Which region a certificate is for: a DNS name in its subject alternative names (RFC 9525, DNS-ID),
//! `<region>.region.edge.internal`. A DNS name and not a URI, because every TLS library checks one on
//! its own when it connects; `.internal` is reserved for private use, so no public authority can vouch
//! for it.

use rustls_pki_types::{CertificateDer, DnsName, ServerName};

/// What follows the region in its name.
const SUFFIX: &str = ".region.edge.internal";

/// The name in the certificate of `region`.
pub fn dns_name(region: &str) -> String {
    format!("{region}{SUFFIX}")
}

/// The name that a connection to `region` asks for and insists on.
pub(super) fn server_name(region: &str) -> Option<ServerName<'static>> {
    let name = DnsName::try_from(dns_name(region)).ok()?;
    Some(ServerName::DnsName(name))
}

/// The regions that a certificate is for; a good one is for one.
pub(super) fn regions_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    certificate
        .valid_dns_names()
        .filter_map(|name| name.strip_suffix(SUFFIX))
        .filter(|region| !region.contains('*'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;

    use super::{dns_name, regions_of};

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        made.cert.der().clone()
    }

    #[test]
    fn only_names_of_regions_count_and_wildcards_are_none() {
        let ours = dns_name("ams3");
        for (names, regions) in [
            (&[ours.as_str()][..], &["ams3"][..]),
            (&["edge.example.com", &ours], &["ams3"]),
            (&["*.region.edge.internal"], &[]),
            (&["ams3.region.edge.internal.example.com"], &[]),
            (&["ams3"], &[]),
        ] {
            assert_eq!(regions_of(&certificate(names)), regions, "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_certificate_are_for_no_region(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(regions_of(&CertificateDer::from(bytes)).is_empty());
        }
    }
}
