//! The archive of a mount: where it may be, and that it is not the origin itself.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serving::config::Invalid;

use super::{DirectoryFile, Origin, S3File};

/// Where old objects go: the company's own storage, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ArchiveFile {
    /// A second S3-compatible object store, such as MinIO or Ceph in the company's own rooms.
    S3(S3File),
    /// A mounted directory. It must keep what it has confirmed (`fsync`).
    Directory(DirectoryFile),
}

impl ArchiveFile {
    /// What the file means. An archive that is the origin would be emptied by archiving to it.
    pub(super) fn resolve(self, directory: &Path, origin: &Origin) -> Result<Origin, Invalid> {
        match self {
            Self::S3(file) => {
                let s3 = file.resolve(directory).map_err(|e| e.within("s3"))?;
                match origin {
                    Origin::S3(origin)
                        if origin.bucket == s3.bucket
                            && origin.endpoint.trim_end_matches('/')
                                == s3.endpoint.trim_end_matches('/')
                            && (origin.prefix.starts_with(&s3.prefix)
                                || s3.prefix.starts_with(&origin.prefix)) =>
                    {
                        Err(Invalid::new(
                            "s3.prefix",
                            "origin and archive overlap: use another bucket or another prefix",
                        ))
                    }
                    _ => Ok(Origin::S3(s3)),
                }
            }
            Self::Directory(file) => {
                let path = directory.join(file.path);
                match origin {
                    Origin::Directory { path: origin }
                        if origin.starts_with(&path) || path.starts_with(origin) =>
                    {
                        Err(Invalid::new(
                            "directory.path",
                            "origin and archive overlap: use another directory",
                        ))
                    }
                    _ => Ok(Origin::Directory { path }),
                }
            }
        }
    }
}
