//! Makes data files: a MaxMind-format database of an operator's own networks, and the two files
//! built into this library. Used by `geo-db build`, never on a request path.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader};
use mmdb_writer::{Value, Writer};

use crate::compact::{CompactError, CountryRanges};
use crate::error::{OpenError, RowError};
use crate::layer::Record;
use crate::location::{Country, Point};
use crate::range_csv::{self, BadRow, Row};
use crate::{CostTable, Location, RegionPoint, Source, great_circle_km, mmdb, region};

/// A data file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The input cannot be used.
    #[error(transparent)]
    Input(#[from] OpenError),
    /// The database writer refused a network.
    #[error("cannot write the database")]
    Write(#[from] mmdb_writer::Error),
    /// What was written does not read back.
    #[error("the database written does not read back")]
    ReadBack(#[source] MaxMindDbError),
    /// The networks do not fit the embedded format.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Rows or networks in it.
    pub networks: usize,
}

/// Compiles CSV or databases into one MaxMind-format database, verified by reading it back. Fields
/// are MaxMind's: `country.iso_code`, `location.latitude`, `autonomous_system_number`. Where inputs
/// overlap, the longer prefix wins, and of equal ones the later.
///
/// # Errors
///
/// An input that cannot be used, or a network that the format cannot hold.
pub fn mmdb_from(inputs: &[PathBuf], database_type: &str) -> Result<Built, BuildError> {
    let mut rows = Vec::new();
    for input in inputs {
        read(input, &mut rows)?;
    }
    // Wide ranges first, so that narrow ones overwrite them.
    rows.sort_by_key(|row| std::cmp::Reverse(width(row)));
    let mut writer = Writer::builder(database_type)
        .description(&[("en", "Networks and where they are, built by geo-db")])
        .build();
    for row in &rows {
        writer.insert_range(row.start, row.end, &value_of(&row.record))?;
    }
    let bytes = writer.to_bytes()?;
    Reader::from_source(bytes.as_slice())
        .and_then(|reader| reader.verify())
        .map_err(BuildError::ReadBack)?;
    Ok(Built {
        networks: rows.len(),
        bytes,
    })
}

/// Compiles CSV or databases into the compact country table that is built into this library. The
/// build time is the newest that an input names.
///
/// # Errors
///
/// An input that cannot be used, or more than 254 countries.
pub fn compact_from(inputs: &[PathBuf]) -> Result<Built, BuildError> {
    let mut rows = Vec::new();
    let mut built = None;
    for input in inputs {
        built = built.max(read(input, &mut rows)?);
    }
    let ranges = CountryRanges::from_rows(built.unwrap_or(SystemTime::UNIX_EPOCH), rows)?;
    let (v4, v6) = ranges.intervals();
    Ok(Built {
        bytes: ranges.encode()?,
        networks: v4 + v6,
    })
}

/// Appends the rows of a file; returns its build time, if it names one.
fn read(path: &Path, rows: &mut Vec<Row>) -> Result<Option<SystemTime>, OpenError> {
    let bytes = fs::read(path).map_err(|source| OpenError::Read {
        path: path.to_owned(),
        source,
    })?;
    let before = rows.len();
    let mut built = None;
    if mmdb::looks_like_mmdb(&bytes) {
        let about = mmdb::for_each_network(&bytes, |start, end, &record| {
            rows.push(Row { start, end, record });
        });
        built = about
            .map_err(|source| OpenError::Database {
                path: path.to_owned(),
                source,
            })?
            .built;
    } else {
        range_csv::for_each_row(&bytes, |row| {
            rows.push(row);
            Ok(())
        })
        .map_err(|BadRow { line, error }| OpenError::Row {
            path: path.to_owned(),
            line,
            source: error,
        })?;
    }
    if rows.len() == before {
        return Err(OpenError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(built)
}

fn width(row: &Row) -> u128 {
    match (row.start, row.end) {
        (IpAddr::V4(start), IpAddr::V4(end)) => {
            u128::from(end.to_bits().saturating_sub(start.to_bits()))
        }
        (IpAddr::V6(start), IpAddr::V6(end)) => end.to_bits().saturating_sub(start.to_bits()),
        _ => 0,
    }
}

fn value_of(record: &Record) -> Value {
    let mut fields: Vec<(&str, Value)> = Vec::new();
    if let Some(country) = record.country {
        fields.push((
            "country",
            Value::map([("iso_code", Value::from(country.as_str()))]),
        ));
    }
    if let Some(point) = record.point {
        let mut place = vec![
            ("latitude", Value::from(f64::from(point.lat))),
            ("longitude", Value::from(f64::from(point.lon))),
        ];
        place.extend(
            record
                .accuracy_km
                .map(|km| ("accuracy_radius", Value::from(km as u16))),
        );
        fields.push(("location", Value::map(place)));
    }
    fields.extend(
        record
            .asn
            .map(|asn| ("autonomous_system_number", Value::from(asn))),
    );
    Value::map(fields)
}

/// Regions that country points are chosen for: one a metro, all that the measured work covers.
const METROS: [&str; 10] = [
    "nyc3", "sfo3", "tor1", "lon1", "ams3", "fra1", "blr1", "sgp1", "syd1", "atl1",
];

/// Chooses the point that stands for each country, as the text of `data/countries.csv`.
///
/// Input is `country,lat,lon` with the most prominent place of each country first. A place weighs
/// one over its rank among its country's, since the sizes of cities follow that rule and the
/// source that can be had carries no population. The region with the lowest weighted mean RTT is
/// chosen for the country; its point is the place, among those nearest to that region, with the
/// least weighted distance to all others.
///
/// # Errors
///
/// A file that cannot be read, or a line that is not `country,lat,lon`.
pub fn country_points(places: &Path) -> Result<String, BuildError> {
    let bytes = fs::read(places).map_err(|source| OpenError::Read {
        path: places.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut countries: BTreeMap<Country, Vec<Point>> = BTreeMap::new();
    let lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.starts_with('#') && !line.starts_with("country,"));
    for (line, number) in lines {
        let (country, point) = place_of(line).ok_or_else(|| OpenError::Row {
            path: places.to_owned(),
            line: number,
            source: RowError::Columns,
        })?;
        countries.entry(country).or_default().push(point);
    }
    let metros: Vec<RegionPoint> = METROS
        .iter()
        .filter_map(|slug| region(slug))
        .map(RegionPoint::from)
        .collect();
    let mut out = String::from("# Written by `geo-db build --country-points`; see README.md.\n");
    out.push_str("country,lat,lon,accuracy_km,confidence\n");
    if let Ok(costs) = CostTable::new(&metros) {
        for (country, points) in countries {
            let row = represent(&points, &costs, metros.len());
            out.push_str(&format!(
                "{country},{:.2},{:.2},{:.0},{:.2}\n",
                row.point.lat, row.point.lon, row.accuracy_km, row.confidence
            ));
        }
    }
    Ok(out)
}

fn place_of(line: &str) -> Option<(Country, Point)> {
    let mut fields = line.split(',');
    let country = fields.next()?.parse().ok()?;
    let point = Point::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)?;
    Some((country, point))
}

struct Representative {
    point: Point,
    accuracy_km: f32,
    confidence: f32,
}

/// A place of a country: its weight, and milliseconds to each metro.
struct Place {
    point: Point,
    weight: f32,
    ms: Vec<f32>,
    nearest: usize,
}

fn represent(points: &[Point], costs: &CostTable, metros: usize) -> Representative {
    let places: Vec<Place> = points
        .iter()
        .zip(1u16..)
        .map(|(&point, rank)| place(point, rank, costs, metros))
        .collect();
    let total: f32 = places.iter().map(|place| place.weight).sum();
    let mean_ms = |metro: usize| {
        places
            .iter()
            .map(|place| place.weight * place.ms[metro])
            .sum::<f32>()
    };
    let chosen = (0..metros)
        .min_by(|&a, &b| mean_ms(a).total_cmp(&mean_ms(b)))
        .unwrap_or_default();
    // A mean may choose a region that is nearest to no place; then any place may stand for all.
    let agreeing = places.iter().filter(|place| place.nearest == chosen);
    let candidates: Vec<&Place> = if agreeing.clone().count() == 0 {
        places.iter().collect()
    } else {
        agreeing.collect()
    };
    let mean_km = |from: &Place| {
        places
            .iter()
            .map(|place| place.weight * great_circle_km(from.point, place.point))
            .sum::<f32>()
    };
    let point = candidates
        .iter()
        .map(|place| (mean_km(place), place.point))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(points[0], |(_, point)| point);
    let agreeing_weight: f32 = places
        .iter()
        .filter(|place| place.nearest == chosen)
        .map(|place| place.weight)
        .sum();
    Representative {
        point,
        accuracy_km: radius_km(point, &places, total),
        confidence: agreeing_weight / total,
    }
}

fn place(point: Point, rank: u16, costs: &CostTable, metros: usize) -> Place {
    let location = Location {
        point: Some(point),
        ..Location::nowhere(Source::Embedded)
    };
    let ranking = costs.nearest(&location);
    let mut ms = vec![f32::INFINITY; metros];
    for ranked in &ranking {
        ms[ranked.index] = ranked
            .rtt
            .map_or(f32::INFINITY, |rtt| rtt.as_secs_f32() * 1000.0);
    }
    Place {
        point,
        weight: 1.0 / f32::from(rank),
        ms,
        nearest: ranking.first().map_or(0, |first| first.index),
    }
}

/// Radius around a point that holds two thirds of the weight, at least that of a city.
fn radius_km(point: Point, places: &[Place], total: f32) -> f32 {
    let mut by_km: Vec<(f32, f32)> = places
        .iter()
        .map(|place| (great_circle_km(point, place.point), place.weight))
        .collect();
    by_km.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut within = 0.0;
    let edge = by_km.iter().find(|(_, weight)| {
        within += weight;
        within >= total * 2.0 / 3.0
    });
    edge.map_or(0.0, |(km, _)| *km).max(25.0)
}
