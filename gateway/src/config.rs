//! The configuration: what is written ([`File`]), and what it means ([`Config`]).
//!
//! Everything is read, checked and complete before a port is bound.

mod file;

mod fixed;

mod resolve;

use std::path::Path;

use serving::config::{ConfigError, Document};

pub use self::file::{
    ActionFile, AdminFile, AssetServerFile, File, GeoFile, HealthCheckFile, LimitsFile,
    ListenerFile, LocationFile, MatchFile, PathFile, RegionCheckFile, RegionFile, RouteFile,
    SteeringFile, TimeoutsFile, UpstreamFile,
};
pub use self::fixed::Fixed;
pub use self::resolve::{
    ActionConfig, AssetServerConfig, Config, ListenerConfig, RouteConfig, UpstreamConfig,
};

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    from_document(&Document::read(path)?)
}

/// Checks a configuration that is already read.
pub fn from_document(document: &Document) -> Result<Config, ConfigError> {
    let file: File = document.parse()?;
    resolve::resolve(file, document.directory()).map_err(|invalid| document.locate(invalid))
}

#[cfg(test)]
mod tests;
