//! A connection to an S3-compatible store: endpoint, credentials, time limits and checksum mode. Used by
//! the origin that the cache reads and by the store that archives and uploads write to.
//!
//! The SDK's own checksums are off (`when_required`): its trailing checksums over plain HTTP get 400
//! from Ceph RGW, an ETag of a multipart object is no MD5, and stores differ in what else they offer.
//! What guards bytes instead is told where they move: lengths when reading, `Content-MD5` when writing,
//! and a read-back before anything is deleted.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::config::{self, Addressing, OriginLimits};
use crate::origin::ConnectError;

/// A client of one store. Nothing is sent yet.
pub(crate) fn connect(
    s3: &config::S3,
    limits: &OriginLimits,
    retry: RetryConfig,
) -> Result<Client, ConnectError> {
    let http_client = aws_smithy_http_client::Builder::new()
        .pool_max_idle_per_host(limits.max_concurrency)
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.first_byte_timeout)
        .build();
    let builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&s3.endpoint)
        .region(Region::new(s3.region.clone()))
        .force_path_style(s3.addressing == Addressing::Path)
        .http_client(http_client)
        .timeout_config(timeouts)
        .retry_config(retry)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // A fill that waits for a disk is no stalled stream, and a stalled one ends by our own
        // idle timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    let builder = match credentials(&s3.credentials)? {
        Some(credentials) => builder.credentials_provider(credentials),
        None => builder.allow_no_auth(),
    };
    Ok(Client::from_conf(builder.build()))
}

/// `None` for a public bucket.
fn credentials(source: &config::Credentials) -> Result<Option<Credentials>, ConnectError> {
    let from_environment = |name: &str| {
        std::env::var(name).map_err(|_| {
            ConnectError::Credentials(format!("environment variable {name} is not set"))
        })
    };
    let (access_key, secret_key, token) = match source {
        config::Credentials::Anonymous => return Ok(None),
        config::Credentials::Static {
            access_key,
            secret_key,
        } => (access_key.clone(), secret_key.expose().to_owned(), None),
        config::Credentials::Environment => (
            from_environment("AWS_ACCESS_KEY_ID")?,
            from_environment("AWS_SECRET_ACCESS_KEY")?,
            std::env::var("AWS_SESSION_TOKEN").ok(),
        ),
        config::Credentials::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConnectError::Credentials(format!("cannot read {}: {error}", path.display()))
            })?;
            let value = |name: &str| {
                text.lines()
                    .filter_map(|line| line.split_once('='))
                    .find(|(key, _)| key.trim() == name)
                    .map(|(_, value)| value.trim().to_owned())
            };
            let needed = |name: &str| {
                value(name).ok_or_else(|| {
                    ConnectError::Credentials(format!("{} has no {name}", path.display()))
                })
            };
            (
                needed("aws_access_key_id")?,
                needed("aws_secret_access_key")?,
                value("aws_session_token"),
            )
        }
    };
    Ok(Some(Credentials::new(
        access_key,
        secret_key,
        token,
        None,
        "asset-server",
    )))
}
