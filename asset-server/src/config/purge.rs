//! How purges reach every instance: as written, and as used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;
use serving::secret::{Secret, SecretSource};
use serving::units;

use super::file::web_url;
use super::{DirectoryFile, S3, S3File};

/// How a purge reaches the other instances. Without `log` and `peers` it is local.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeFile {
    /// Name of this instance, unique in its region. Left out: the machine's host name, which in
    /// Kubernetes is the pod's.
    pub instance: Option<String>,
    /// Where purges are recorded, for all instances of all regions alike.
    pub log: Option<PurgeLogFile>,
    /// How often the log is read.
    pub poll_interval: units::Duration,
    /// How long the log goes back. An instance that was away for longer empties its disk tier.
    pub keep: units::Duration,
    /// The other instances, to be told at once.
    pub peers: Vec<PeerFile>,
    /// The admin token of the peers.
    pub token: Option<SecretSource>,
}

impl Default for PurgeFile {
    fn default() -> Self {
        Self {
            instance: None,
            log: None,
            poll_interval: units::Duration::from_secs(2),
            keep: units::Duration::from_secs(7 * 24 * 3600),
            peers: Vec::new(),
            token: None,
        }
    }
}

/// Where purges are recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum PurgeLogFile {
    /// A bucket, under `.edge/` below its `prefix`. The access key must be allowed to write there.
    S3(S3File),
    /// A directory that all instances share.
    Directory(DirectoryFile),
}

/// Another instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerFile {
    /// Its region.
    pub region: String,
    /// URL of its admin listener: `http://10.0.0.7:9180`.
    pub url: String,
}

/// What a [`PurgeFile`] means.
#[derive(Clone, Debug)]
pub struct PurgeEverywhere {
    /// Name of this instance.
    pub instance: String,
    /// Where purges are recorded.
    pub log: Option<PurgeLogStore>,
    /// How often the log is read.
    pub poll_interval: Duration,
    /// How long the log goes back.
    pub keep: Duration,
    /// The other instances.
    pub peers: Vec<Peer>,
    /// The admin token of the peers.
    pub token: Option<Secret>,
}

impl Default for PurgeEverywhere {
    fn default() -> Self {
        let file = PurgeFile::default();
        Self {
            instance: host_name(),
            log: None,
            poll_interval: file.poll_interval.get(),
            keep: file.keep.get(),
            peers: Vec::new(),
            token: None,
        }
    }
}

/// Where purges are recorded.
#[derive(Clone, Debug)]
pub enum PurgeLogStore {
    /// A bucket.
    S3(S3),
    /// A directory.
    Directory(PathBuf),
}

/// Another instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its region.
    pub region: String,
    /// URL of its admin listener, without a slash at the end.
    pub url: String,
}

impl PurgeFile {
    pub(super) fn resolve(self, directory: &Path) -> Result<PurgeEverywhere, Invalid> {
        let instance = self.instance.unwrap_or_else(host_name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if instance.is_empty() || instance.len() > 128 || !instance.bytes().all(plain) {
            return Err(Invalid::new(
                "instance",
                "must be a word of letters, digits, -, _ and .",
            ));
        }
        for (key, value) in [("poll_interval", self.poll_interval), ("keep", self.keep)] {
            if value.get().is_zero() {
                return Err(Invalid::new(key, "must be longer than nothing"));
            }
        }
        if self.keep < units::Duration::from_secs(3600) {
            return Err(Invalid::new("keep", "must be at least 1h"));
        }
        let log = match self.log {
            None => None,
            Some(PurgeLogFile::S3(s3)) => Some(PurgeLogStore::S3(
                s3.resolve(directory).map_err(|e| e.within("log.s3"))?,
            )),
            Some(PurgeLogFile::Directory(local)) => {
                Some(PurgeLogStore::Directory(directory.join(local.path)))
            }
        };
        let mut peers = Vec::with_capacity(self.peers.len());
        for (i, peer) in self.peers.into_iter().enumerate() {
            web_url(&format!("peers[{i}].url"), &peer.url)?;
            peers.push(Peer {
                region: peer.region,
                url: peer.url.trim_end_matches('/').to_owned(),
            });
        }
        if !peers.is_empty() && self.token.is_none() {
            return Err(Invalid::new(
                "token",
                "peers ask for their admin token, so it is needed",
            ));
        }
        let token = self.token.map(|source| source.load(directory)).transpose();
        Ok(PurgeEverywhere {
            instance,
            log,
            poll_interval: self.poll_interval.get(),
            keep: self.keep.get(),
            peers,
            token: token.map_err(|e| Invalid::new("token", e))?,
        })
    }
}

/// The machine's name as far as it makes a word, or `instance` where it has none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let name: String = name.trim().chars().filter(plain).take(128).collect();
    match name.is_empty() {
        true => "instance".to_owned(),
        false => name,
    }
}
