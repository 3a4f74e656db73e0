//! Reads CSV: networks or ranges, with a heading that names the columns or in a known shape.
//!
//! Without a heading: `network,country[,lat,lon]`, `start,end,country`, `start,end,asn,name`, and
//! the ten columns of ip-location-db's city files. With one, in any order: `network` (or `prefix`),
//! `start`, `end`, `country`, `lat`, `lon`, `accuracy_km`, `asn`, `region`. Overrides use the same
//! reader; there a field `region=nyc3` pins the network to a region. `#` starts a comment.

use std::net::IpAddr;
use std::str::FromStr;

use csv::{ReaderBuilder, StringRecord, Trim};
use ipnet::IpNet;

use crate::error::RowError;
use crate::layer::{LayerBuilder, Record};
use crate::location::{Country, Point, RegionSlug};

/// A line of a file, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct BadRow {
    pub(crate) line: u64,
    pub(crate) error: RowError,
}

/// One network or range and what is said about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
    pub(crate) record: Record,
}

/// Adds every row of a file to a layer.
pub(crate) fn read_into(bytes: &[u8], builder: &mut LayerBuilder) -> Result<(), BadRow> {
    for_each_row(bytes, |row| {
        let number = builder.intern(&row.record);
        if builder.push(row.start, row.end, number) {
            return Ok(());
        }
        Err(RowError::Range(row.start.to_string(), row.end.to_string()))
    })
}

/// Calls `take` with every row that says something.
pub(crate) fn for_each_row(
    bytes: &[u8],
    mut take: impl FnMut(Row) -> Result<(), RowError>,
) -> Result<(), BadRow> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .from_reader(bytes);
    let mut record = StringRecord::new();
    let (mut first, mut heading) = (true, None);
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(BadRow {
                    line,
                    error: error.into(),
                });
            }
        }
        let line = record.position().map_or(line, csv::Position::line);
        let bad = |error| BadRow { line, error };
        if first {
            first = false;
            heading = Columns::of_heading(&record);
            if heading.is_some() {
                continue;
            }
        }
        let columns = heading
            .map_or_else(|| Columns::of_shape(&record), Ok)
            .map_err(bad)?;
        let row = columns.row(&record).map_err(bad)?;
        if !row.record.is_empty() {
            take(row).map_err(bad)?;
        }
    }
}

/// Where each field stands.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    network: Option<usize>,
    start: Option<usize>,
    end: Option<usize>,
    country: Option<usize>,
    lat: Option<usize>,
    lon: Option<usize>,
    accuracy_km: Option<usize>,
    asn: Option<usize>,
    region: Option<usize>,
}

impl Columns {
    /// The columns a heading names; `None` if the line is no heading.
    fn of_heading(line: &StringRecord) -> Option<Self> {
        let mut columns = Self::default();
        for (at, name) in line.iter().enumerate() {
            let column = match name.to_ascii_lowercase().as_str() {
                "network" | "prefix" | "cidr" => &mut columns.network,
                "start" | "start_ip" | "ip_range_start" => &mut columns.start,
                "end" | "end_ip" | "ip_range_end" => &mut columns.end,
                "country" | "country_code" => &mut columns.country,
                "lat" | "latitude" => &mut columns.lat,
                "lon" | "lng" | "longitude" => &mut columns.lon,
                "accuracy_km" | "accuracy_radius" => &mut columns.accuracy_km,
                "asn" | "autonomous_system_number" => &mut columns.asn,
                "region" => &mut columns.region,
                _ => continue,
            };
            *column = Some(at);
        }
        let ranges = columns.start.is_some() && columns.end.is_some();
        (columns.network.is_some() || ranges).then_some(columns)
    }

    /// The columns of a line without heading.
    fn of_shape(line: &StringRecord) -> Result<Self, RowError> {
        let network = line.get(0).is_some_and(|first| first.contains('/'))
            || (line.len() == 2
                && line
                    .get(1)
                    .is_some_and(|second| IpAddr::from_str(second).is_err()));
        if network {
            let columns = Self {
                network: Some(0),
                ..Self::default()
            };
            return Ok(match line.len() {
                0 | 1 => return Err(RowError::Columns),
                2 | 3 => Self {
                    country: Some(1),
                    ..columns
                },
                _ => Self {
                    country: Some(1),
                    lat: Some(2),
                    lon: Some(3),
                    ..columns
                },
            });
        }
        let columns = Self {
            start: Some(0),
            end: Some(1),
            ..Self::default()
        };
        let number = line
            .get(2)
            .is_some_and(|third| third.parse::<u32>().is_ok());
        match line.len() {
            0..=2 => Err(RowError::Columns),
            3 | 4 if number => Ok(Self {
                asn: Some(2),
                ..columns
            }),
            9.. => Ok(Self {
                country: Some(2),
                lat: Some(7),
                lon: Some(8),
                ..columns
            }),
            5..=8 => Ok(Self {
                country: Some(2),
                lat: Some(3),
                lon: Some(4),
                ..columns
            }),
            _ => Ok(Self {
                country: Some(2),
                ..columns
            }),
        }
    }

    fn row(&self, line: &StringRecord) -> Result<Row, RowError> {
        let field = |at: Option<usize>| at.and_then(|at| line.get(at)).unwrap_or("");
        let (start, end) = match self.network {
            Some(at) => network(line.get(at).ok_or(RowError::Columns)?)?,
            None if line.len() < 3 => return Err(RowError::Columns),
            None => (address(field(self.start))?, address(field(self.end))?),
        };
        if start.is_ipv4() != end.is_ipv4() || start > end {
            return Err(RowError::Range(
                field(self.start).to_owned(),
                field(self.end).to_owned(),
            ));
        }
        // In an override, `region=nyc3` may stand in any column.
        let pin = line.iter().find_map(|field| field.strip_prefix("region="));
        let pin = pin.unwrap_or(field(self.region));
        let record = Record {
            country: country(without_pin(field(self.country)))?,
            point: point(without_pin(field(self.lat)), without_pin(field(self.lon)))?,
            accuracy_km: number(field(self.accuracy_km))?,
            asn: number::<u32>(field(self.asn).trim_start_matches("AS"))?.filter(|&asn| asn != 0),
            pinned: region(pin)?,
        };
        Ok(Row { start, end, record })
    }
}

fn without_pin(field: &str) -> &str {
    if field.starts_with("region=") {
        ""
    } else {
        field
    }
}

fn network(text: &str) -> Result<(IpAddr, IpAddr), RowError> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok((network.network(), network.broadcast()));
    }
    let ip: IpAddr = text
        .parse()
        .map_err(|_| RowError::Network(text.to_owned()))?;
    Ok((ip, ip))
}

/// An address, or its number as some range files write it.
fn address(text: &str) -> Result<IpAddr, RowError> {
    if let Ok(ip) = text.parse() {
        return Ok(ip);
    }
    let number: u128 = text
        .parse()
        .map_err(|_| RowError::Network(text.to_owned()))?;
    Ok(match u32::try_from(number) {
        Ok(v4) => IpAddr::V4(v4.into()),
        Err(_) => IpAddr::V6(number.into()),
    })
}

/// Files write an unknown country in several ways.
fn country(text: &str) -> Result<Option<Country>, RowError> {
    match text {
        "" | "-" | "None" | "none" | "ZZ" | "??" => Ok(None),
        code => code
            .parse()
            .map(Some)
            .map_err(|_| RowError::Country(code.to_owned())),
    }
}

fn point(lat: &str, lon: &str) -> Result<Option<Point>, RowError> {
    if lat.is_empty() && lon.is_empty() {
        return Ok(None);
    }
    let bad = || RowError::Coordinates(lat.to_owned(), lon.to_owned());
    let (lat, lon) = lat.parse().ok().zip(lon.parse().ok()).ok_or_else(bad)?;
    Point::new(lat, lon).map(Some).ok_or_else(bad)
}

fn number<T: FromStr>(text: &str) -> Result<Option<T>, RowError> {
    match text {
        "" => Ok(None),
        number => number
            .parse()
            .map(Some)
            .map_err(|_| RowError::Number(number.to_owned())),
    }
}

fn region(text: &str) -> Result<Option<RegionSlug>, RowError> {
    match text {
        "" => Ok(None),
        name => name
            .parse()
            .map(Some)
            .map_err(|_| RowError::Region(name.to_owned())),
    }
}
