//! Listing a directory in the order of keys, page by page.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::origin::directory::entity_tag;
use crate::store::{Listed, Listing, RESERVED, StoreError};

/// Objects with `prefix` after the key `after`. Folders that hold no such keys are not read.
pub(super) fn page(
    root: &Path,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, StoreError> {
    let mut page = Page {
        prefix,
        after: after.unwrap_or_default(),
        limit,
        listing: Listing::default(),
    };
    page.folder(root, "")?;
    if page.listing.objects.len() >= limit {
        page.listing.next = page.listing.objects.last().map(|object| object.key.clone());
    }
    Ok(page.listing)
}

struct Page<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    listing: Listing,
}

impl Page<'_> {
    fn folder(&mut self, path: &Path, key: &str) -> Result<(), StoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // Only text can be a key, and only files are objects.
            let name = entry.file_name();
            let Ok(name) = std::str::from_utf8(name.as_bytes()) else {
                continue;
            };
            if kind.is_dir() {
                names.push(format!("{key}{name}/"));
            } else if kind.is_file() {
                names.push(format!("{key}{name}"));
            }
        }
        // With the slash at its end, a folder sorts where its keys do.
        names.sort_unstable();
        for name in names {
            if self.listing.objects.len() >= self.limit {
                break;
            }
            let in_prefix = name.starts_with(self.prefix)
                || (name.ends_with('/') && self.prefix.starts_with(&name));
            if !in_prefix || name == RESERVED {
                continue;
            }
            let Some(file) = name.rsplit('/').find(|part| !part.is_empty()) else {
                continue;
            };
            let path = path.join(file);
            if name.ends_with('/') {
                if name.as_str() > self.after || self.after.starts_with(&name) {
                    match self.folder(&path, &name) {
                        Err(StoreError::Io(error))
                            if error.kind() == std::io::ErrorKind::NotFound => {}
                        done => done?,
                    }
                }
            } else if name.as_str() > self.after {
                // It may be gone by now.
                if let Ok(metadata) = path.symlink_metadata() {
                    self.listing.objects.push(Listed {
                        key: name,
                        size: metadata.len(),
                        modified: metadata.modified().ok(),
                        etag: Some(entity_tag(&metadata)),
                    });
                }
            }
        }
        Ok(())
    }
}
