//! Uploads in parts: `.edge/uploads/<id>/` with `data`, the object as far as it is written, and `parts`,
//! one line for each part that is on the disk. A part is synced before its line is written, so what is
//! listed after a crash is there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::relative_path;
use super::write::{Temporary, create_directories, place, sync};
use crate::store::{Attributes, Condition, Part, RESERVED, StoreError, UploadRef, hex};

#[derive(Serialize, Deserialize)]
struct Begun {
    key: String,
    attributes: Attributes,
}

/// A part on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    number: u32,
    offset: u64,
    size: u64,
    md5: String,
}

impl Written {
    pub(super) fn part(&self) -> Part {
        Part {
            number: self.number,
            size: self.size,
            etag: Some(format!("\"{}\"", self.md5)),
        }
    }

    /// A line of `parts`; one that was cut off by a crash is no line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let written = Self {
            number: words.next()?.parse().ok()?,
            offset: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            md5: words.next()?.to_owned(),
        };
        let whole = written.md5.len() == 32 && words.next() == Some(".") && words.next().is_none();
        whole.then_some(written)
    }
}

pub(super) fn begin(
    root: &Path,
    key: String,
    attributes: Attributes,
) -> Result<UploadRef, StoreError> {
    relative_path(&key)?;
    let upload = UploadRef {
        key,
        id: format!("{:032x}", fastrand::u128(..)),
    };
    let folder = folder(root, &upload.id)?;
    create_directories(&folder)?;
    let begun = Begun {
        key: upload.key.clone(),
        attributes,
    };
    let text = serde_json::to_vec(&begun).map_err(std::io::Error::from)?;
    let mut file = File::create_new(folder.join("begun.json"))?;
    file.write_all(&text)?;
    file.sync_all()?;
    File::create_new(folder.join("data"))?.sync_all()?;
    File::create_new(folder.join("parts"))?.sync_all()?;
    sync(&folder)?;
    Ok(upload)
}

pub(super) fn write_part(
    root: &Path,
    upload: &UploadRef,
    number: u32,
    offset: u64,
    body: &[u8],
) -> Result<Part, StoreError> {
    let folder = folder(root, &upload.id)?;
    begun(&folder, upload)?;
    let data = OpenOptions::new().write(true).open(folder.join("data"));
    let data = data.map_err(|_| StoreError::NoUpload)?;
    data.write_all_at(body, offset)?;
    data.sync_data()?;
    let written = Written {
        number,
        offset,
        size: body.len() as u64,
        md5: hex(&Md5::digest(body)),
    };
    // One write to a file opened for appending: lines of parts written at once do not mix.
    let line = format!("{number} {offset} {} {} .\n", written.size, written.md5);
    let mut lines = OpenOptions::new().append(true).open(folder.join("parts"))?;
    lines.write_all(line.as_bytes())?;
    Ok(written.part())
}

/// The parts on the disk, by number.
pub(super) fn written(
    root: &Path,
    upload: &UploadRef,
) -> Result<BTreeMap<u32, Written>, StoreError> {
    let folder = folder(root, &upload.id)?;
    begun(&folder, upload)?;
    let length = match folder.join("data").metadata() {
        Ok(metadata) => metadata.len(),
        Err(_) => return Err(StoreError::NoUpload),
    };
    let lines = std::fs::read_to_string(folder.join("parts")).unwrap_or_default();
    Ok(lines
        .lines()
        .filter_map(Written::parse)
        .filter(|part| {
            part.offset
                .checked_add(part.size)
                .is_some_and(|end| end <= length)
        })
        .map(|part| (part.number, part))
        .collect())
}

pub(super) fn complete(
    root: &Path,
    upload: &UploadRef,
    parts: &[Part],
    condition: &Condition,
) -> Result<String, StoreError> {
    let folder = folder(root, &upload.id)?;
    let Begun { key, attributes } = begun(&folder, upload)?;
    let written = written(root, upload)?;
    let (mut length, mut checksums) = (0, Vec::with_capacity(parts.len()));
    for part in parts {
        let found = written
            .get(&part.number)
            .filter(|found| found.part() == *part && found.offset == length)
            .ok_or(StoreError::Malformed("parts that were not uploaded so"))?;
        length += found.size;
        checksums.push((found.size, found.md5.clone()));
    }
    let path = folder.join("data");
    let data = OpenOptions::new().write(true).open(&path)?;
    data.set_len(length)?;
    let temporary = Temporary::of(path, data);
    let placed = place(root, &temporary, &key, attributes, checksums, condition)?;
    let _ = std::fs::remove_dir_all(folder);
    Ok(placed)
}

pub(super) fn abort(root: &Path, upload: &UploadRef) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder(root, &upload.id)?) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn begun(folder: &Path, upload: &UploadRef) -> Result<Begun, StoreError> {
    let text = std::fs::read(folder.join("begun.json")).map_err(|_| StoreError::NoUpload)?;
    let begun: Begun = serde_json::from_slice(&text).map_err(|_| StoreError::NoUpload)?;
    match begun.key == upload.key {
        true => Ok(begun),
        false => Err(StoreError::NoUpload),
    }
}

/// Ids come from notes and clients: nothing but what [`begin`] makes is a folder's name.
fn folder(root: &Path, id: &str) -> Result<PathBuf, StoreError> {
    let made_here = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    match made_here {
        true => Ok(root.join(RESERVED).join("uploads").join(id)),
        false => Err(StoreError::NoUpload),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_cut_anywhere_is_no_part(number: u32, offset: u64, size: u64, cut in 1_usize..60) {
            let md5 = "0123456789abcdef0123456789abcdef";
            let line = format!("{number} {offset} {size} {md5} .");
            prop_assert!(Written::parse(&line).is_some());
            let end = line.len().saturating_sub(cut);
            prop_assert_eq!(Written::parse(&line[..end]), None);
        }
    }
}
