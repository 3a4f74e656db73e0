//! Keeps orders over a restart: one small JSON file, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::Orders;

const NAME: &str = "drain-orders.json";

/// Far more than sixteen orders take.
const MAX_FILE: u64 = 1 << 20;

/// Why orders could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{}: not a list of drain orders: {source}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
}

/// The orders in `directory`; none where there is no file yet.
pub(in crate::region) fn load(directory: &Path) -> Result<Orders, StoreError> {
    let path = directory.join(NAME);
    let mut text = Vec::new();
    match File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)) {
        Ok(_) => {
            serde_json::from_slice(&text).map_err(|source| StoreError::Format { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Orders::default()),
        Err(source) => Err(StoreError::Io { path, source }),
    }
}

/// Writes the orders beside the file and puts them in its place, so that a crash leaves the old or the
/// new ones.
pub(in crate::region) fn save(directory: &Path, orders: &Orders) -> Result<(), StoreError> {
    let path = directory.join(NAME);
    let write = || {
        fs::create_dir_all(directory)?;
        let beside = directory.join(format!(".{NAME}.{}", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(orders)?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        // The name is safe only when the directory is.
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| StoreError::Io {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Order, OrderVersion};
    use super::{NAME, Orders, StoreError, load, save};

    #[test]
    fn what_was_saved_is_there_and_damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert_eq!(load(&state).unwrap(), Orders::default());
        let mut orders = Orders::default();
        let order = Order {
            drain: true,
            reason: "disk".into(),
            author: "ops".into(),
            at: 1,
            version: OrderVersion::default(),
        };
        orders.give("sgp1", order);
        save(&state, &orders).unwrap();
        assert_eq!(load(&state).unwrap(), orders);
        assert_eq!(
            std::fs::read_dir(&state).unwrap().count(),
            1,
            "nothing else is left"
        );
        for damage in ["", "{", "[]", r#"{"sgp1": {"drain": 1}}"#, "\u{0}"] {
            std::fs::write(state.join(NAME), damage).unwrap();
            assert!(
                matches!(load(&state), Err(StoreError::Format { .. })),
                "{damage:?}"
            );
        }
    }
}
