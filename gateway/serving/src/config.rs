//! Reads one YAML file into a type, and says what is wrong with it in one line that names file, line,
//! key path and reason.
//!
//! Two kinds of fault reach an operator the same way: those the parser sees (unknown key, wrong unit)
//! and those only the meaning shows (a region named twice). The second kind is raised by the caller as
//! an [`Invalid`], and [`Document::locate`] gives it the line it belongs to.

mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A fault in the meaning of a configuration, found after parsing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Invalid {
    /// Path of the key at fault, such as `regions[1].name`.
    pub key: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Invalid {
    /// A fault at `key`.
    pub fn new(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            reason: reason.to_string(),
        }
    }

    /// The same fault seen from one level further out: `name` becomes `regions[1].name`.
    #[must_use]
    pub fn within(self, outer: impl fmt::Display) -> Self {
        let key = match self.key.as_str() {
            "" => outer.to_string(),
            key if key.starts_with('[') => format!("{outer}{key}"),
            key => format!("{outer}.{key}"),
        };
        Self {
            key,
            reason: self.reason,
        }
    }
}

/// Why a configuration file cannot be used. Displays as one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// File asked for.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file was read; what it says is wrong.
    #[error("{}{}: {}{reason}", path.display(), Line(*line), Key(key))]
    Invalid {
        /// File at fault.
        path: PathBuf,
        /// Line counted from 1, where one can be named.
        line: Option<u64>,
        /// Key path, empty where the file as a whole is at fault.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

struct Line(Option<u64>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

struct Key<'a>(&'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "{}: ", self.0)
        }
    }
}

/// One configuration file as text, kept so that later faults can name their line.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file; does not parse it yet.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// A document that is not a file, for tests and generated configurations.
    pub fn from_text(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Directory against which relative paths in the file are meant.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Parses the text as `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut key = String::new();
        let parsed = serde_saphyr::with_deserializer_from_str(&self.text, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                key = error.path().to_string();
                error.into_inner()
            })
        });
        parsed.map_err(|error: serde_saphyr::Error| {
            let error = error.without_snippet();
            if key == "." {
                key.clear();
            }
            ConfigError::Invalid {
                path: self.path.clone(),
                line: error
                    .location()
                    .map(|location| location.line())
                    .filter(|line| *line > 0)
                    .or_else(|| tree::line_of(&self.text, &key)),
                key,
                reason: first_line(&error.to_string()),
            }
        })
    }

    /// Gives a fault in the meaning its place in the file.
    pub fn locate(&self, invalid: Invalid) -> ConfigError {
        ConfigError::Invalid {
            path: self.path.clone(),
            line: tree::line_of(&self.text, &invalid.key),
            key: invalid.key,
            reason: invalid.reason,
        }
    }
}

/// The parser repeats the location in its message; ours already names it.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.find(" at line ") {
        Some(end) => line[..end].to_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
