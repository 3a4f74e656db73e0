//! The files an operator supplies: reading them, and noticing that they changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::OpenError;
use crate::layer::{Layer, LayerBuilder};
use crate::location::Source;
use crate::mmdb;
use crate::range_csv;

/// The files that stand above the embedded default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// MaxMind-format databases or CSV files with countries or coordinates. The first that knows
    /// an address answers, so IPv4 and IPv6 may come as two files.
    pub databases: Vec<PathBuf>,
    /// Databases or CSV files of which only the autonomous system number is used.
    pub asn: Vec<PathBuf>,
    /// Prefix overrides, above everything else. The format is in `docs/tasks/geo-data.md`.
    pub overrides: Option<PathBuf>,
}

impl Sources {
    /// Every file, in no particular order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.databases
            .iter()
            .chain(&self.asn)
            .chain(&self.overrides)
            .map(PathBuf::as_path)
    }
}

/// Reads and compiles one file, MaxMind-format or CSV, told apart by content.
pub(crate) fn compile(path: &Path, source: Source) -> Result<Layer, OpenError> {
    let bytes = fs::read(path).map_err(|source| OpenError::Read {
        path: path.to_owned(),
        source,
    })?;
    let named_mmdb = path
        .extension()
        .is_some_and(|extension| extension == "mmdb");
    let layer = if named_mmdb || mmdb::looks_like_mmdb(&bytes) {
        mmdb::compile(&bytes, source).map_err(|source| OpenError::Database {
            path: path.to_owned(),
            source,
        })?
    } else {
        let mut builder = LayerBuilder::new(source);
        range_csv::read_into(&bytes, &mut builder).map_err(|bad| OpenError::Row {
            path: path.to_owned(),
            line: bad.line,
            source: bad.error,
        })?;
        (!builder.is_empty()).then(|| builder.finish("csv".to_owned(), None))
    };
    match layer {
        Some(layer) => Ok(layer),
        // Taking the last override away leaves a file of comments, which is no mistake.
        None if source == Source::Override => {
            Ok(LayerBuilder::new(source).finish("csv".to_owned(), None))
        }
        None => Err(OpenError::Empty {
            path: path.to_owned(),
        }),
    }
}

/// What tells a replaced file from the one before, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// The fingerprint of the file that a path, through symbolic links, now leads to.
pub(crate) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Fingerprint {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        inode,
    })
}
