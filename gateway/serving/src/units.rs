//! Durations and sizes as an operator writes them: always with a unit (`30s`, `512MiB`), so that no
//! number in a configuration file can be read two ways.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time, written like `250ms`, `30s`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// A whole number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A whole number of milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The same span for the standard library.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|_| {
            format!("{text:?} is not a duration: write a number with ms, s, m, h or d, such as 30s")
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A number of bytes, written like `64KiB`, `512MiB` or `1.5GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A number of KiB (1024 bytes).
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// A number of MiB (1024² bytes).
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// A number of GiB (1024³ bytes).
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The size in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a size: write a number with B, KiB, MiB, GiB or TiB, such as 512MiB"
            )
        };
        // A bare number parses as bytes in the crate; here the unit is the point.
        if !text.ends_with(['B', 'b']) {
            return Err(wrong());
        }
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| wrong())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Both types are text in the file: one visitor, one schema shape.
macro_rules! written_as_text {
    ($type:ty, $name:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "examples": [$example]})
            }
        }
    };
}

written_as_text!(Duration, "Duration", "30s");
written_as_text!(ByteSize, "ByteSize", "512MiB");

#[cfg(test)]
mod tests {
    use super::{ByteSize, Duration};

    #[test]
    fn a_size_needs_its_unit_and_prints_as_it_is_written() {
        for (text, bytes) in [
            ("1KiB", 1024),
            ("512MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("7B", 7),
            ("1.5KiB", 1536),
            ("1kB", 1000),
        ] {
            assert_eq!(
                text.parse::<ByteSize>().map(ByteSize::get),
                Ok(bytes),
                "{text}"
            );
        }
        for wrong in ["", "12", "12 apples", "MiB", "-1MiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        assert_eq!(ByteSize::mib(512).to_string(), "512MiB");
        assert_eq!(ByteSize::kib(0).to_string(), "0B");
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!("1m 30s".parse(), Ok(Duration::from_secs(90)));
        assert_eq!("250ms".parse(), Ok(Duration::from_millis(250)));
        let error = "30"
            .parse::<Duration>()
            .map_err(|e| e.contains("such as 30s"));
        assert_eq!(error, Err(true));
        assert_eq!(Duration::from_millis(1500).to_string(), "1s 500ms");
    }
}
