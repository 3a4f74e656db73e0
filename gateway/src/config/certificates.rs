//! `certificates`: as written, and what it means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use asset_server::config::{DirectoryFile, Origin, OriginLimitsFile};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::secret::SecretSource;
use serving::units::Duration;

use super::file::ListenerFile;
use crate::certificates::envelope::Keys;
use crate::certificates::{Acme, CertificatesConfig, ChallengeKind, outside_of};

/// Certificates for the `acme` names of the listeners.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificatesFile {
    /// The authority.
    pub acme: AcmeFile,
    /// Where certificates are kept that one region orders and all serve.
    pub store: CertificateStoreFile,
    /// What seals them there: 32 random bytes in base64. The first key seals, all of them open.
    pub keys: Vec<SecretSource>,
    /// A directory of this machine for a sealed copy, to start from when the store is away.
    #[serde(default)]
    pub local_copy: Option<PathBuf>,
    /// How often the store is read. A challenge waits for twice this time until all regions have it.
    #[serde(default = "default_poll_interval")]
    pub poll_interval: Duration,
    /// How long another region waits when the one that orders has died.
    #[serde(default = "default_lease")]
    pub lease: Duration,
}

fn default_poll_interval() -> Duration {
    Duration::from_secs(15)
}

fn default_lease() -> Duration {
    Duration::from_secs(120)
}

/// A certificate authority that speaks ACME (RFC 8555).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeFile {
    /// Its directory; begin with the staging one.
    pub directory_url: String,
    /// Who is told of trouble: `mailto:` addresses.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Whether you agree to its terms.
    #[serde(default)]
    pub terms_of_service_agreed: bool,
    /// An account there that ours is bound to, where the authority wants that.
    #[serde(default)]
    pub external_account: Option<ExternalAccountFile>,
    /// How a name is proven.
    #[serde(default = "default_challenge")]
    pub challenge: ChallengeKind,
    /// PEM files with authorities for its own TLS certificate, beside the system's.
    #[serde(default)]
    pub authorities: Vec<PathBuf>,
    /// Pause of all regions after a failed order; doubles each time, up to six hours.
    #[serde(default = "default_backoff")]
    pub backoff: Duration,
}

fn default_challenge() -> ChallengeKind {
    ChallengeKind::Dns01
}

fn default_backoff() -> Duration {
    Duration::from_secs(300)
}

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccountFile {
    /// The key's name.
    pub key_id: String,
    /// The MAC key in base64url.
    pub hmac_key: SecretSource,
}

/// Where certificates are kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CertificateStoreFile {
    /// A bucket, below `prefix`.
    S3(asset_server::config::S3File),
    /// A directory that all regions share.
    Directory(DirectoryFile),
}

/// What `certificates` and the listeners' `acme` mean together.
pub(super) fn certificates(
    file: Option<CertificatesFile>,
    listeners: &[ListenerFile],
    zones: &[String],
    directory: &Path,
) -> Result<Option<CertificatesConfig>, Invalid> {
    let mut names = BTreeSet::new();
    for (at, listener) in listeners.iter().enumerate() {
        for (place, name) in listener.acme.iter().enumerate() {
            let key = || format!("listeners[{at}].acme[{place}]");
            check_name(name, file.as_ref()).map_err(|e| e.within(key()))?;
            names.insert(name.clone());
        }
    }
    let Some(file) = file else {
        return Ok(None);
    };
    if names.is_empty() {
        return Err(Invalid::new(
            "certificates",
            "no listener has a name to get a certificate for; list names in `acme` of a listener",
        ));
    }
    let resolved = resolve(file, names.into_iter().collect(), directory)
        .map_err(|e| e.within("certificates"))?;
    if resolved.acme.challenge == ChallengeKind::Dns01
        && let Some(name) = outside_of(&resolved.names, zones)
    {
        return Err(Invalid::new(
            "certificates.acme.challenge",
            format!(
                "{name:?} lies in none of the zones under `dns`, and dns-01 is answered by our own DNS"
            ),
        ));
    }
    Ok(Some(resolved))
}

fn resolve(
    file: CertificatesFile,
    names: Vec<String>,
    directory: &Path,
) -> Result<CertificatesConfig, Invalid> {
    let mut texts = Vec::new();
    for (at, source) in file.keys.iter().enumerate() {
        let text = source
            .load(directory)
            .map_err(|e| Invalid::new(format!("keys[{at}]"), e))?;
        texts.push(text);
    }
    if texts.is_empty() {
        return Err(Invalid::new(
            "keys",
            "at least one key is needed; `openssl rand -base64 32` makes one",
        ));
    }
    let keys = Keys::new(texts.iter().map(|text| text.expose()))
        .map_err(|(at, error)| Invalid::new(format!("keys[{at}]"), error))?;
    let store = match file.store {
        CertificateStoreFile::S3(s3) => {
            Origin::S3(s3.resolve(directory).map_err(|e| e.within("store.s3"))?)
        }
        CertificateStoreFile::Directory(local) => {
            existing("store.directory.path", directory.join(local.path))
                .map(|path| Origin::Directory { path })?
        }
    };
    let local_copy = file
        .local_copy
        .map(|path| existing("local_copy", directory.join(path)));
    for (key, duration, least) in [
        (
            "poll_interval",
            file.poll_interval,
            Duration::from_millis(100),
        ),
        ("lease", file.lease, Duration::from_secs(1)),
        ("acme.backoff", file.acme.backoff, Duration::from_secs(1)),
    ] {
        if duration < least {
            return Err(Invalid::new(key, format!("must be at least {least}")));
        }
    }
    let authorities = file
        .acme
        .authorities
        .iter()
        .map(|path| directory.join(path))
        .collect();
    Ok(CertificatesConfig {
        acme: acme(file.acme, directory).map_err(|e| e.within("acme"))?,
        authorities,
        names,
        store,
        limits: OriginLimitsFile::default().resolve()?,
        local_copy: local_copy.transpose()?,
        keys,
        poll_interval: file.poll_interval.get(),
        lease: file.lease.get(),
    })
}

fn acme(file: AcmeFile, directory: &Path) -> Result<Acme, Invalid> {
    let url: Option<Uri> = file.directory_url.parse().ok();
    if url.is_none_or(|url| url.scheme_str() != Some("https") || url.host().is_none()) {
        return Err(Invalid::new(
            "directory_url",
            format!("{:?} is not an https URL", file.directory_url),
        ));
    }
    if !file.terms_of_service_agreed {
        return Err(Invalid::new(
            "terms_of_service_agreed",
            "must be true: read the authority's terms first",
        ));
    }
    for (at, contact) in file.contact.iter().enumerate() {
        if !contact
            .strip_prefix("mailto:")
            .is_some_and(|address| address.contains('@'))
        {
            return Err(Invalid::new(
                format!("contact[{at}]"),
                format!("{contact:?} is not an address such as mailto:ops@example.com"),
            ));
        }
    }
    let external_account = file.external_account.map(|external| {
        let wrong = |reason: String| Invalid::new("external_account.hmac_key", reason);
        let key = external
            .hmac_key
            .load(directory)
            .map_err(|e| wrong(e.to_string()))?;
        let decode = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .or_else(|_| URL_SAFE.decode(text))
        };
        let key = decode(key.expose()).map_err(|_| wrong("it is not base64url".into()))?;
        Ok((external.key_id, key))
    });
    Ok(Acme {
        folder: Acme::folder(&file.directory_url),
        directory_url: file.directory_url,
        contact: file.contact,
        terms_of_service_agreed: file.terms_of_service_agreed,
        external_account: external_account.transpose()?,
        challenge: file.challenge,
        backoff: file.backoff.get(),
    })
}

fn existing(key: &str, path: PathBuf) -> Result<PathBuf, Invalid> {
    if path.is_dir() {
        return Ok(path);
    }
    Err(Invalid::new(
        key,
        format!("{} is not a directory", path.display()),
    ))
}

/// A DNS name in lower case, `*.` before it where the challenge can prove that.
fn check_name(name: &str, certificates: Option<&CertificatesFile>) -> Result<(), Invalid> {
    let wrong = |reason: &str| Err(Invalid::new("", format!("{name:?} {reason}")));
    let Some(certificates) = certificates else {
        return wrong("needs an authority to get a certificate from: `certificates` is missing");
    };
    let domain = match name.strip_prefix("*.") {
        Some(_) if certificates.acme.challenge != ChallengeKind::Dns01 => {
            return wrong("is a wildcard, which only dns-01 can prove");
        }
        Some(domain) => domain,
        None => name,
    };
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // No top-level domain is a number, so this refuses addresses, too.
    let has_domain = domain
        .rsplit_once('.')
        .is_some_and(|(_, top)| !top.bytes().all(|b| b.is_ascii_digit()));
    if !has_domain || domain.len() > 253 || !domain.split('.').all(label) {
        return wrong("is not a name such as edge.example.com, in lower case");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serving::config::Document;

    use crate::config::from_document;

    const KEY: &str = "Q0mC2wE7yq3JxX9oTg1vVw5mZ0pRk8sLhNfUeYtBd6I=";

    const GOOD: &str = r#"
region: ams3
regions: [{name: ams3, addresses: [192.0.2.20]}]
listeners: [{name: https, address: "127.0.0.1:0", acme: [edge.example.com, "*.edge.example.com"]}]
certificates:
  acme: {directory_url: "https://ca.test/dir", contact: ["mailto:ops@example.com"], terms_of_service_agreed: true}
  store: {directory: {path: store}}
  keys: [{file: key}]
routes: []
dns:
  listen: ["127.0.0.1:0"]
  zones: [{name: edge.example.com, name_servers: [{name: ns1, region: ams3}]}]
"#;

    fn check(from: &str, to: &str) -> Result<(), String> {
        assert!(GOOD.contains(from), "{from}");
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("store")).unwrap();
        for (name, key) in [
            ("key", KEY),
            ("weak", "password"),
            ("zeros", &"A".repeat(43)),
        ] {
            std::fs::write(directory.path().join(name), key).unwrap();
        }
        let path = directory.path().join("gateway.yaml");
        let document = Document::from_text(&path, GOOD.replacen(from, to, 1));
        let name = format!("{}:", path.display());
        from_document(&document)
            .map(drop)
            .map_err(|error| error.to_string().replace(&name, ""))
    }

    #[test]
    fn a_good_configuration_is_taken() {
        check("", "").unwrap();
    }

    #[test]
    fn each_fault_names_its_key_and_reason() {
        for (from, to, expected) in [
            (
                "edge.example.com,",
                "EDGE.example.com,",
                r#"4: listeners[0].acme[0]: "EDGE.example.com" is not a name"#,
            ),
            (
                "edge.example.com,",
                "192.0.2.1,",
                r#"4: listeners[0].acme[0]: "192.0.2.1" is not a name"#,
            ),
            ("edge.example.com,", "a..b,", "4: listeners[0].acme[0]: "),
            (
                "edge.example.com,",
                "localhost,",
                "4: listeners[0].acme[0]: ",
            ),
            (
                "contact:",
                "challenge: tls-alpn-01, contact:",
                r#"4: listeners[0].acme[1]: "*.edge.example.com" is a wildcard"#,
            ),
            (
                r#", acme: [edge.example.com, "*.edge.example.com"]"#,
                "",
                "6: certificates: no listener has a name",
            ),
            (
                "terms_of_service_agreed: true",
                "terms_of_service_agreed: false",
                "6: certificates.acme.terms_of_service_agreed: must be true",
            ),
            (
                "https://ca.test/dir",
                "http://ca.test/dir",
                "6: certificates.acme.directory_url: ",
            ),
            ("mailto:ops", "ops", "6: certificates.acme.contact[0]: "),
            (
                "contact:",
                "challenge: http-01, contact:",
                "6: certificates.acme.challenge: ",
            ),
            (
                "path: store",
                "path: missing",
                "7: certificates.store.directory.path: ",
            ),
            (
                "{file: key}",
                "{file: missing}",
                "8: certificates.keys[0]: cannot read the secret",
            ),
            (
                "{file: key}",
                "{file: key}, {file: weak}",
                "8: certificates.keys[1]: not 32 bytes in base64",
            ),
            ("{file: key}", "{file: zeros}", "8: certificates.keys[0]: "),
            (
                "[{file: key}]",
                "[]",
                "8: certificates.keys: at least one key",
            ),
            (
                "routes:",
                "  lease: 10ms\nroutes:",
                "9: certificates.lease: must be at least 1s",
            ),
        ] {
            let error = check(from, to).unwrap_err();
            assert!(
                error.starts_with(expected),
                "{error}\nshould start with\n{expected}"
            );
        }
    }

    #[test]
    fn the_example_in_comments_is_good_and_its_values_are_the_defaults() {
        let example = include_str!("../../config/gateway.example.yaml");
        let start = example.find("# certificates:").unwrap();
        let lines = example[start..]
            .lines()
            .take_while(|line| line.starts_with("# "));
        let text: String = lines.map(|line| format!("{}\n", &line[2..])).collect();
        let minimal = r#"certificates:
  acme:
    directory_url: https://acme-staging-v02.api.letsencrypt.org/directory
    contact: [mailto:ops@example.com]
    terms_of_service_agreed: true
  store: {s3: {endpoint: "https://ams3.digitaloceanspaces.com", bucket: example-edge, credentials: {file: /run/secrets/spaces}}}
  keys: [{file: /run/secrets/certificates-key}]
"#;
        let parse = |text: &str| {
            let parsed = Document::from_text("gateway.yaml", text).parse();
            let parsed: std::collections::BTreeMap<String, super::CertificatesFile> =
                parsed.unwrap();
            serde_json::to_value(parsed).unwrap()
        };
        assert_eq!(parse(&text), parse(minimal));
    }

    #[test]
    fn names_without_an_authority_are_refused() {
        let start = GOOD.find("certificates:").unwrap();
        let end = GOOD.find("routes:").unwrap();
        let error = check(&GOOD[start..end], "").unwrap_err();
        assert!(error.contains("`certificates` is missing"), "{error}");
    }
}
