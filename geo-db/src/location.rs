//! What is known about an address: the answer of a lookup, small enough to copy.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use serde::{Serialize, Serializer};

/// Where an address is, as far as the loaded data knows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Location {
    /// ISO 3166-1 country, if the data names one.
    pub country: Option<Country>,
    /// Coordinates. `None` for private, loopback, reserved and unknown addresses, and for
    /// countries that have no point in the embedded table.
    pub point: Option<Point>,
    /// Radius around `point`, in kilometres, that holds about two thirds of the users who get
    /// this answer. 0 when the data does not say; a whole country can be 2,000.
    pub accuracy_km: f32,
    /// How likely the region nearest to `point` is the region nearest to the user, from 0 to 1.
    /// 1 for city data and overrides; for a country point, the share of the country's places that
    /// agree with it (0.4 in the United States, 1 in the Netherlands).
    pub confidence: f32,
    /// Autonomous system number, where a loaded database has it.
    pub asn: Option<u32>,
    /// Region that an override pins this address to, before any ranking.
    pub pinned: Option<RegionSlug>,
    /// Which layer answered.
    pub source: Source,
}

impl Location {
    /// A location that says nothing but which kind of address it was.
    pub const fn nowhere(source: Source) -> Self {
        Self {
            country: None,
            point: None,
            accuracy_km: 0.0,
            confidence: 0.0,
            asn: None,
            pinned: None,
            source,
        }
    }
}

/// The layer that answered a lookup, or the reason why none did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A prefix of the operator's override file.
    Override,
    /// A database or range file that the operator supplied.
    Database,
    /// The country table built into this library.
    Embedded,
    /// Not in any table, and private: RFC 1918, RFC 4193, link-local, carrier-grade NAT.
    Private,
    /// Not in any table, and loopback.
    Loopback,
    /// Not in any table, and never a client on the internet: documentation, multicast, unspecified.
    Reserved,
    /// A public address that no table knows.
    Unknown,
}

impl Source {
    /// Every source, for metrics that want one series each.
    pub const ALL: [Self; 7] = [
        Self::Override,
        Self::Database,
        Self::Embedded,
        Self::Private,
        Self::Loopback,
        Self::Reserved,
        Self::Unknown,
    ];

    /// One word for logs, metrics and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Database => "database",
            Self::Embedded => "embedded",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::Reserved => "reserved",
            Self::Unknown => "unknown",
        }
    }
}

/// A point on the earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Degrees north, -90 to 90.
    pub lat: f32,
    /// Degrees east, -180 to 180.
    pub lon: f32,
}

impl Point {
    /// A point, if both numbers are finite and on the globe.
    pub fn new(lat: f64, lon: f64) -> Option<Self> {
        let on_globe = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        on_globe.then_some(Self {
            lat: lat as f32,
            lon: lon as f32,
        })
    }
}

/// ISO 3166-1 alpha-2 country code, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        // Both bytes are ASCII letters by construction.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for Country {
    type Err = NotACountry;

    fn from_str(text: &str) -> Result<Self, NotACountry> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(NotACountry),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The text is not two ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a country is two letters, such as DE")]
pub struct NotACountry;

/// Name of a region, short enough to travel inside a [`Location`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegionSlug(ArrayString<23>);

impl RegionSlug {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for RegionSlug {
    type Err = NotARegionSlug;

    fn from_str(text: &str) -> Result<Self, NotARegionSlug> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(NotARegionSlug);
        }
        ArrayString::from(text)
            .map(Self)
            .map_err(|_| NotARegionSlug)
    }
}

impl fmt::Display for RegionSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RegionSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RegionSlug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The text cannot be the name of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region name is 1 to 23 letters, digits, '-' or '_', such as nyc3")]
pub struct NotARegionSlug;
