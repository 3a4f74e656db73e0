//! `asset-server sign`: a signed URL for one path, or for everything below one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use asset_server::config::StandaloneFile;
use asset_server::signed_url::{COOKIE_NAME, Permit, Scope, SigningKey};
use clap::Args;
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serving::config::{Document, Invalid};
use serving::secret::SecretSource;
use serving::units;

/// What a path in a URL may hold as it is.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Print a signed URL of a private asset.
#[derive(Args)]
pub(super) struct Arguments {
    /// The asset server's configuration, whose `assets.signing.keys` has the key.
    #[arg(long, value_name = "FILE", required_unless_present = "key_file")]
    config: Option<PathBuf>,
    /// A file with the secret, instead of a configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    key_file: Option<PathBuf>,
    /// Id of the key to sign with.
    #[arg(long, value_name = "ID")]
    key: String,
    /// Path of the asset, as it stands in its URL.
    #[arg(long, value_name = "PATH")]
    path: String,
    /// Permit everything below the path, which then ends with a slash.
    #[arg(long)]
    prefix: bool,
    /// How long the URL is good for.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires_in: units::Duration,
    /// Permit only clients of this network.
    #[arg(long, value_name = "CIDR")]
    client: Option<IpNet>,
    /// Scheme and host to put before the path.
    #[arg(long, value_name = "URL", default_value = "")]
    base_url: String,
    /// Print a `Set-Cookie` value instead, for players and apps that load a whole tree.
    #[arg(long)]
    cookie: bool,
}

/// Why there is no URL.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Config(#[from] serving::config::ConfigError),
    #[error("--key: {0}")]
    Key(String),
    #[error("--path: {0}")]
    Path(#[from] asset_server::signed_url::UnusablePath),
    #[error("--expires-in: this is beyond the end of time")]
    Expiry,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match line(arguments) {
        Ok(line) => {
            // Whoever reads it may stop early; that is no fault of ours.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(&error),
    }
}

fn line(arguments: &Arguments) -> Result<String, SignError> {
    let key = key(arguments)?;
    let scope = match arguments.prefix {
        true => Scope::prefix(&arguments.path)?,
        false => Scope::path(&arguments.path)?,
    };
    let path = utf8_percent_encode(scope.as_str(), &ESCAPED).to_string();
    let expires = SystemTime::now()
        .checked_add(arguments.expires_in.get())
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .ok_or(SignError::Expiry)?;
    // Whole seconds, never fewer than were asked for.
    let expires = expires
        .saturating_add(Duration::from_nanos(999_999_999))
        .as_secs();
    let parameters = key.sign(&Permit {
        scope,
        expires,
        client: arguments.client,
    });
    Ok(match arguments.cookie {
        true => format!(
            "{COOKIE_NAME}={parameters}; Path={path}; Max-Age={}; Secure; HttpOnly; SameSite=Lax",
            arguments.expires_in.get().as_secs()
        ),
        false => format!(
            "{}{path}?{parameters}",
            arguments.base_url.trim_end_matches('/')
        ),
    })
}

fn key(arguments: &Arguments) -> Result<SigningKey, SignError> {
    let unusable = |error: &dyn std::fmt::Display| SignError::Key(error.to_string());
    let id = arguments.key.as_str();
    let secret = match (&arguments.config, &arguments.key_file) {
        (Some(config), _) => {
            let document = Document::read(config)?;
            let file: StandaloneFile = document.parse()?;
            let keys = file
                .assets
                .signing
                .map_or_else(Vec::new, |signing| signing.keys);
            let at = keys.iter().position(|key| key.id == id).ok_or_else(|| {
                unusable(&format!("{id:?} is none of the ids in assets.signing.keys"))
            })?;
            let source = &keys[at].secret;
            source.load(document.directory()).map_err(|error| {
                document.locate(Invalid::new(
                    format!("assets.signing.keys[{at}].secret"),
                    error,
                ))
            })?
        }
        (None, Some(file)) => SecretSource::File(file.clone())
            .load(Path::new(""))
            .map_err(|error| unusable(&error))?,
        (None, None) => return Err(unusable(&"give --config or --key-file")),
    };
    SigningKey::new(id, &secret).map_err(|error| unusable(&error))
}
