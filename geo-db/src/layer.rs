//! One compiled source of data: a table of address intervals and the locations they point to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::SystemTime;

use crate::countries;
use crate::location::{Country, Location, Point, RegionSlug, Source};
use crate::table::{AddressTable, Span, Spans};

/// What a reader understood of one record, before anything is filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) country: Option<Country>,
    pub(crate) point: Option<Point>,
    pub(crate) accuracy_km: Option<f32>,
    pub(crate) asn: Option<u32>,
    pub(crate) pinned: Option<RegionSlug>,
}

impl Record {
    pub(crate) fn is_empty(&self) -> bool {
        self.country.is_none()
            && self.point.is_none()
            && self.asn.is_none()
            && self.pinned.is_none()
    }

    /// The location a user is told. A country without coordinates gets the country's point.
    fn locate(&self, source: Source) -> Location {
        let country_point = self.country.and_then(countries::point_of);
        let (point, accuracy_km, confidence) = match (self.point, country_point) {
            (Some(point), _) => (Some(point), self.accuracy_km.unwrap_or(0.0), 1.0),
            (None, Some(row)) => (Some(row.point), row.accuracy_km, row.confidence),
            (None, None) => (None, 0.0, 0.0),
        };
        let Self {
            country,
            asn,
            pinned,
            ..
        } = *self;
        Location {
            country,
            point,
            accuracy_km,
            confidence,
            asn,
            pinned,
            source,
        }
    }
}

/// A compiled source.
#[derive(Debug)]
pub(crate) struct Layer {
    table: AddressTable,
    values: Vec<Location>,
    /// What the file calls itself, such as `GeoLite2-City`.
    pub(crate) kind: String,
    /// When the data was built, if the file says.
    pub(crate) built: Option<SystemTime>,
}

impl Layer {
    /// The location of an address, if this source has it. The address is already unwrapped.
    #[inline]
    pub(crate) fn get(&self, ip: IpAddr) -> Option<&Location> {
        self.values.get(self.table.get(ip)? as usize)
    }

    /// The same, with the length of the shortest prefix around the address that has one answer.
    pub(crate) fn get_with_prefix(&self, ip: IpAddr) -> (Option<&Location>, u8) {
        let (number, prefix_len) = self.table.prefix(ip);
        let found = number.and_then(|number| self.values.get(number as usize));
        (found, prefix_len)
    }

    /// Intervals of IPv4 and of IPv6.
    pub(crate) fn intervals(&self) -> (usize, usize) {
        self.table.intervals()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + size_of_val(self.values.as_slice())
    }
}

/// Collects what a reader finds. Equal records share one value, so neighbours can be merged.
pub(crate) struct LayerBuilder {
    source: Source,
    spans: Spans,
    values: Vec<Location>,
    numbers: HashMap<RecordKey, u32>,
}

/// A [`Record`] that can be hashed: floats by their bits.
type RecordKey = (
    Option<Country>,
    Option<(u32, u32)>,
    Option<u32>,
    Option<u32>,
    Option<RegionSlug>,
);

impl LayerBuilder {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            spans: Spans::default(),
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The number of a record; equal records have equal numbers.
    pub(crate) fn intern(&mut self, record: &Record) -> u32 {
        let point = record
            .point
            .map(|point| (point.lat.to_bits(), point.lon.to_bits()));
        let key = (
            record.country,
            point,
            record.accuracy_km.map(f32::to_bits),
            record.asn,
            record.pinned,
        );
        *self.numbers.entry(key).or_insert_with(|| {
            self.values.push(record.locate(self.source));
            (self.values.len() - 1) as u32
        })
    }

    /// Adds an inclusive range. False if it runs backwards or mixes families.
    #[must_use]
    pub(crate) fn push(&mut self, start: IpAddr, end: IpAddr, number: u32) -> bool {
        self.spans.push(start, end, number)
    }

    /// Adds spans whose values are numbers from [`intern`](Self::intern).
    pub(crate) fn extend(
        &mut self,
        v4: impl Iterator<Item = Span<u32>>,
        v6: impl Iterator<Item = Span<u128>>,
    ) {
        self.spans.v4.extend(v4);
        self.spans.v6.extend(v6);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn finish(self, kind: String, built: Option<SystemTime>) -> Layer {
        Layer {
            table: self.spans.compile(),
            values: self.values,
            kind,
            built,
        }
    }
}
