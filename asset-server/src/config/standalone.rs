//! The configuration of the asset server as a server of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::listener::{Certificates, TlsFile};
use serving::secret::{Secret, SecretSource};
use serving::telemetry::LogFile;
use serving::units;

use super::{Config, ConfigFile};

/// Everything in `asset-server.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandaloneFile {
    /// Addresses for clients.
    #[serde(default = "listeners")]
    pub listeners: Vec<ListenerFile>,
    /// The private listener.
    #[serde(default)]
    pub admin: AdminFile,
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogFile,
    /// How long requests in flight may take after SIGTERM.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: units::Duration,
    /// The cache itself.
    pub assets: ConfigFile,
}

fn listeners() -> Vec<ListenerFile> {
    vec![ListenerFile {
        address: SocketAddr::from(([0, 0, 0, 0], 8080)),
        tls: Vec::new(),
    }]
}

fn drain_timeout() -> units::Duration {
    units::Duration::from_secs(30)
}

/// One address for clients. HTTP/1.1 and HTTP/2 are both spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerFile {
    /// Address and port.
    pub address: SocketAddr,
    /// Certificates, chosen by server name. None means plain HTTP.
    #[serde(default)]
    pub tls: Vec<TlsFile>,
}

/// The private listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminFile {
    /// Address and port.
    pub address: SocketAddr,
    /// What a purge must bring as `Authorization: Bearer`. Without it nothing can be purged.
    pub token: Option<SecretSource>,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9180)),
            token: None,
        }
    }
}

/// What a [`StandaloneFile`] means.
#[derive(Clone, Debug)]
pub struct Standalone {
    /// Addresses for clients.
    pub listeners: Vec<ListenerConfig>,
    /// The private listener.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: LogFile,
    /// How long requests in flight may take after SIGTERM.
    pub drain_timeout: Duration,
    /// The cache itself.
    pub assets: Config,
}

/// One address for clients.
#[derive(Clone)]
pub struct ListenerConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// Its certificates, loaded; `None` means plain HTTP.
    pub tls: Option<Arc<Certificates>>,
}

impl std::fmt::Debug for ListenerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenerConfig")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// The private listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// The token, loaded.
    pub token: Option<Secret>,
}

impl StandaloneFile {
    /// What the file means. Relative paths are looked up under `directory`.
    pub fn resolve(self, directory: &Path) -> Result<Standalone, Invalid> {
        let mut listeners = Vec::with_capacity(self.listeners.len());
        for (i, listener) in self.listeners.into_iter().enumerate() {
            let key = format!("listeners[{i}]");
            if listeners.iter().any(|other: &ListenerConfig| {
                other.address == listener.address && listener.address.port() != 0
            }) {
                return Err(Invalid::new(
                    format!("{key}.address"),
                    format!("{} is listed twice", listener.address),
                ));
            }
            let files: Vec<_> = listener
                .tls
                .into_iter()
                .map(|tls| TlsFile {
                    certificate: directory.join(tls.certificate),
                    key: directory.join(tls.key),
                })
                .collect();
            let tls = match files.is_empty() {
                true => None,
                false => Some(
                    Certificates::load(files).map_err(|e| Invalid::new(format!("{key}.tls"), e))?,
                ),
            };
            listeners.push(ListenerConfig {
                address: listener.address,
                tls,
            });
        }
        if listeners.is_empty() {
            return Err(Invalid::new("listeners", "at least one listener is needed"));
        }
        let token = self.admin.token.map(|source| source.load(directory));
        Ok(Standalone {
            listeners,
            admin: Admin {
                address: self.admin.address,
                token: token
                    .transpose()
                    .map_err(|e| Invalid::new("admin.token", e))?,
            },
            log: self.log,
            drain_timeout: self.drain_timeout.get(),
            assets: self
                .assets
                .resolve(directory)
                .map_err(|e| e.within("assets"))?,
        })
    }
}

/// The JSON Schema of the configuration.
pub fn standalone_schema() -> serde_json::Value {
    schemars::schema_for!(StandaloneFile).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serving::config::Document;

    use super::*;
    use crate::config::{
        CorsFile, DiskFile, MemoryFile, MountFile, OriginLimitsFile, PurgeFile, SiteFile,
        WritesFile,
    };

    const EXAMPLE: &str = include_str!("../../config/asset-server.example.yaml");

    fn parse(text: &str) -> Result<Standalone, String> {
        let document = Document::from_text("asset-server.yaml", text);
        let file: StandaloneFile = document.parse().map_err(|e| e.to_string())?;
        file.resolve(Path::new(""))
            .map_err(|invalid| document.locate(invalid).to_string())
    }

    #[test]
    fn the_example_lists_every_key_with_its_default() {
        let document = Document::from_text("example", EXAMPLE);
        let written: StandaloneFile = document.parse().expect("the example parses");
        let mount = "{path: /assets/, origin: {directory: {path: x}}}";
        let minimal = format!("assets: {{mounts: [{mount}], disk: {{path: x}}}}");
        let bare: StandaloneFile = Document::from_text("bare", minimal)
            .parse()
            .expect("it parses");
        assert_eq!(
            (&written.listeners, &written.log, written.drain_timeout),
            (&bare.listeners, &bare.log, bare.drain_timeout)
        );
        assert_eq!(written.admin.address, bare.admin.address);
        assert_eq!(
            (&written.assets.memory, &written.assets.origin),
            (&MemoryFile::default(), &OriginLimitsFile::default())
        );
        assert_eq!(written.assets.purge, PurgeFile::default());
        assert_eq!(written.assets.region, bare.assets.region);
        let size =
            |file: &StandaloneFile| file.assets.disk.as_ref().map(|DiskFile { size, .. }| *size);
        assert_eq!(size(&written), size(&bare));
        let times =
            |mount: &MountFile| (mount.default_ttl, mount.negative_ttl, mount.stale_if_error);
        for mount in &written.assets.mounts {
            assert_eq!(times(mount), times(&bare.assets.mounts[0]));
            assert!(mount.fallbacks.is_empty() && !mount.restore);
        }
        let (plain, files) = (&written.assets.mounts[0], &written.assets.mounts[1]);
        let bare_mount = &bare.assets.mounts[0];
        assert_eq!(
            (plain.private, plain.download, &plain.site, &plain.cors),
            (false, false, &bare_mount.site, &bare_mount.cors)
        );
        assert_eq!(written.assets.signing, bare.assets.signing);
        assert_eq!(files.site, Some(SiteFile::default()));
        let writes = "token: {environment: WRITE_TOKEN}";
        let writes: WritesFile = Document::from_text("writes", writes)
            .parse()
            .expect("it parses");
        assert_eq!(written.assets.mounts[2].writes, Some(writes));
        assert_eq!(plain.writes, bare_mount.writes);
        let cors = "allowed_origins: [\"https://*.example.com\"]";
        let cors: CorsFile = Document::from_text("cors", cors)
            .parse()
            .expect("it parses");
        assert_eq!(files.cors, Some(cors));
        // What serialises from the parsed example is what stands in it: no key is left out.
        let value = serde_json::to_value(&written).expect("JSON");
        for key in ["listeners", "admin", "log", "drain_timeout", "assets"] {
            assert!(
                value.get(key).is_some() && EXAMPLE.contains(&format!("{key}:")),
                "{key}"
            );
        }
    }

    #[test]
    fn a_bad_configuration_is_one_message_with_key_and_line() {
        let with = |mount: &str| format!("assets:\n  mounts:\n    - path: /a/\n      {mount}\n");
        let directory = "origin: {directory: {path: x}}";
        for (text, parts) in [
            (
                with("origin: {directory: {pth: x}}"),
                &["asset-server.yaml:4", "pth"] as &[_],
            ),
            (
                with(&format!("{directory}\n      default_ttl: 30")),
                &["asset-server.yaml:5", "assets.mounts[0].default_ttl", "30s"],
            ),
            (
                with(&format!("{directory}\n    - path: /a/\n      {directory}")),
                &["asset-server.yaml:5", "assets.mounts[1].path", "twice"],
            ),
            (
                with(directory).replace("/a/", "/a"),
                &[
                    "asset-server.yaml:3",
                    "assets.mounts[0].path",
                    "slash at both ends",
                ],
            ),
            (
                with("origin: {http: {url: \"ftp://x\"}}"),
                &["asset-server.yaml:4", "assets.mounts[0].origin.http.url"],
            ),
            (
                with(&format!(
                    "{directory}\n      writes: {{token: {{file: /nowhere}}}}"
                )),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].writes.token",
                    "/nowhere",
                ],
            ),
            (
                with("origin: {http: {url: \"http://x\"}}\n      writes: {token: {file: x}}"),
                &["asset-server.yaml:5", "assets.mounts[0].writes", "forward"],
            ),
            (
                with(&format!("{directory}\n      private: true")),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].private",
                    "signing.keys",
                ],
            ),
            (
                format!(
                    "{}  signing: {{keys: [{{id: a, secret: {{file: /nowhere}}}}]}}\n",
                    with(directory)
                ),
                &[
                    "asset-server.yaml:5",
                    "assets.signing.keys[0].secret",
                    "/nowhere",
                ],
            ),
            (
                format!("{}  signing: {{keys: []}}\n", with(directory)),
                &["asset-server.yaml:5", "assets.signing.keys", "at least one"],
            ),
            (
                with(&format!("{directory}\n      site: {{index: a/b}}")),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].site.index",
                    "slash",
                ],
            ),
            (
                with(&format!("{directory}\n      site: {{not_found: ../x}}")),
                &["asset-server.yaml:5", "assets.mounts[0].site.not_found"],
            ),
            (
                with(&format!(
                    "{directory}\n      cors: {{allowed_origins: [\"example.com\"]}}"
                )),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].cors.allowed_origins",
                    "https://",
                ],
            ),
            (
                with(&format!(
                    "{directory}\n      cors: {{allowed_origins: [\"*\"], allow_credentials: true}}"
                )),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].cors.allow_credentials",
                ],
            ),
            ("assets: {}".into(), &["assets.mounts", "at least one"]),
            (
                with(&format!(
                    "{directory}\n      fallbacks: [{{http: {{url: x}}}}]"
                )),
                &[
                    "asset-server.yaml:5",
                    "assets.mounts[0].fallbacks[0].http.url",
                ],
            ),
            (
                with(&format!("{directory}\n      restore: true")),
                &["asset-server.yaml:5", "assets.mounts[0].restore", "S3"],
            ),
            (
                format!("{}  origin: {{min_concurrency: 200}}\n", with(directory)),
                &[
                    "asset-server.yaml:5",
                    "assets.origin.min_concurrency",
                    "max",
                ],
            ),
            (
                format!("{}  origin: {{burst: 0}}\n", with(directory)),
                &["assets.origin.burst", "at least 1"],
            ),
            (
                format!("{}  origin: {{retry_percent: 101}}\n", with(directory)),
                &["assets.origin.retry_percent", "100"],
            ),
            (
                format!("{}  memory: {{size: 1MiB}}\n", with(directory)),
                &["asset-server.yaml:5", "assets.memory.max_object"],
            ),
            (
                format!(
                    "{}  purge:\n    peers: [{{region: a, url: \"http://a\"}}]\n",
                    with(directory)
                ),
                &["asset-server.yaml", "assets.purge.token"],
            ),
            (
                format!("{}admin:\n  token: {{file: /nowhere}}\n", with(directory)),
                &["asset-server.yaml:6", "admin.token"],
            ),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(
                parts.iter().all(|part| error.contains(part)),
                "{error}\n{text}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert!(parse(&with(directory)).is_ok());
    }
}
