//! Reads a MaxMind-format database: nested records (GeoLite2, GeoIP2), flat ones (DB-IP,
//! ip-location-db), country only, or system numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::layer::{Layer, LayerBuilder, Record};
use crate::location::{Country, Point, Source};

/// Marks the metadata, in the last part of every database.
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Whether the bytes hold a database, whole or damaged.
pub(crate) fn looks_like_mmdb(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(128 * 1024)..];
    tail.windows(METADATA_MARKER.len())
        .any(|window| window == METADATA_MARKER)
}

/// What a database says about itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) kind: String,
    pub(crate) built: Option<SystemTime>,
}

/// Calls `take` with every network that says something. Every network and every record is visited,
/// so damage anywhere is found here rather than by a request.
pub(crate) fn for_each_network(
    bytes: &[u8],
    mut take: impl FnMut(IpAddr, IpAddr, &Record),
) -> Result<About, MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    // Networks share records: decode each once, by where it lies in the file.
    let mut decoded: HashMap<usize, Record> = HashMap::new();
    for found in reader.networks(WithinOptions::default())? {
        let found = found?;
        let Some(offset) = found.offset() else {
            continue;
        };
        let record = match decoded.entry(offset) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let row = found.decode::<Row<'_>>()?;
                new.insert(row.map(|row| row.record()).unwrap_or_default())
            }
        };
        if !record.is_empty() {
            let network = found.network()?;
            let (start, end) = range_of(network.ip(), network.prefix());
            take(start, end, record);
        }
    }
    let metadata = reader.metadata();
    Ok(About {
        kind: metadata.database_type.clone(),
        built: metadata.build_time().ok(),
    })
}

/// Compiles a database; `None` if it places no address.
pub(crate) fn compile(bytes: &[u8], source: Source) -> Result<Option<Layer>, MaxMindDbError> {
    let mut builder = LayerBuilder::new(source);
    let mut whole = true;
    let about = for_each_network(bytes, |start, end, record| {
        let number = builder.intern(record);
        whole &= builder.push(start, end, number);
    })?;
    if !whole {
        return Err(MaxMindDbError::invalid_database(
            "a network ends before it starts",
        ));
    }
    Ok((!builder.is_empty()).then(|| builder.finish(about.kind, about.built)))
}

/// First and last address. IPv4 that a database keeps at `::/96` comes out as IPv4.
fn range_of(ip: IpAddr, prefix: u8) -> (IpAddr, IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            (IpAddr::V4(ip), IpAddr::V4((ip.to_bits() | hosts).into()))
        }
        IpAddr::V6(ip) => {
            let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            (IpAddr::V6(ip), IpAddr::V6((ip.to_bits() | hosts).into()))
        }
    }
}

/// The fields of every known shape; each file has some of them.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default)]
    country: Option<Code<'a>>,
    #[serde(borrow, default)]
    registered_country: Option<Code<'a>>,
    #[serde(borrow, default)]
    country_code: Option<Code<'a>>,
    #[serde(default)]
    location: Option<Place>,
    #[serde(default, alias = "lat")]
    latitude: Option<Number>,
    #[serde(default, alias = "lng", alias = "lon")]
    longitude: Option<Number>,
    #[serde(default)]
    accuracy_radius: Option<Number>,
    #[serde(default, alias = "asn")]
    autonomous_system_number: Option<Number>,
}

/// MaxMind's nested `location`.
#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    latitude: Option<Number>,
    #[serde(default)]
    longitude: Option<Number>,
    #[serde(default)]
    accuracy_radius: Option<Number>,
}

impl Row<'_> {
    fn record(&self) -> Record {
        let code = |code: &Option<Code<'_>>| {
            code.as_ref()
                .and_then(|code| code.0)
                .and_then(|code| code.parse().ok())
        };
        let country: Option<Country> = code(&self.country)
            .or_else(|| code(&self.country_code))
            .or_else(|| code(&self.registered_country));
        let nested = self.location.as_ref();
        let number = |flat: &Option<Number>, nested: Option<&Option<Number>>| {
            let nested = nested.and_then(|nested| nested.as_ref());
            nested.or(flat.as_ref()).and_then(|number| number.0)
        };
        let lat = number(&self.latitude, nested.map(|place| &place.latitude));
        let lon = number(&self.longitude, nested.map(|place| &place.longitude));
        let accuracy = number(
            &self.accuracy_radius,
            nested.map(|place| &place.accuracy_radius),
        );
        Record {
            country,
            point: lat.zip(lon).and_then(|(lat, lon)| Point::new(lat, lon)),
            accuracy_km: accuracy
                .map(|km| km as f32)
                .filter(|km| km.is_finite() && *km >= 0.0),
            asn: number(&self.autonomous_system_number, None)
                .map(|asn| asn as u32)
                .filter(|&asn| asn != 0),
            pinned: None,
        }
    }
}

/// A country code, given as text or as a map with `iso_code`.
struct Code<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Code<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;
        impl<'de> Visitor<'de> for CodeVisitor {
            type Value = Code<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a country code, or a map with an iso_code")
            }
            fn visit_borrowed_str<E>(self, code: &'de str) -> Result<Code<'de>, E> {
                Ok(Code(Some(code)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Code<'de>, A::Error> {
                let mut code = None;
                while let Some(key) = map.next_key::<&'de str>()? {
                    if key == "iso_code" {
                        code = Some(map.next_value::<&'de str>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Code(code))
            }
        }
        deserializer.deserialize_any(CodeVisitor)
    }
}

/// A number of any width, or text that holds one (`AS64512` too); other text is none.
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.trim_start_matches("AS").parse().ok()))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}
