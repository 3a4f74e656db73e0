//! The form in which the default data is built in: small, read once at start.
//!
//! ```text
//! "GEOC" 01            magic and version
//! u64                  when the data was built, seconds since 1970, little endian
//! zlib stream of:
//!   varint n, n * 2 bytes             countries
//!   for IPv4, then IPv6 (its upper 64 bits):
//!     varint n                        intervals, gaps counted
//!     n bytes                         trailing zero bits of each distance to the interval before
//!     n varints                       the distance without them
//!     n bytes                         0 for a gap, else 1 + the number of the country
//! ```
//!
//! Columns of one kind side by side are what makes it deflate well: 430,000 intervals in about
//! half a megabyte.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::layer::{LayerBuilder, Record};
use crate::location::Country;
use crate::range_csv::Row;
use crate::table::{Key, Span, Spans, flatten};

const MAGIC: &[u8; 5] = b"GEOC\x01";
/// Refuses a stream that would unfold to more than any honest table.
const UNFOLDED_LIMIT: usize = 16 << 20;
/// Deflate's best effort.
const COMPRESSION_LEVEL: u8 = 10;

/// Bytes that are not a compact table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a compact country table: {0}")]
pub struct CompactError(&'static str);

/// Country of every network, as read from a compact table or to be written to one.
#[derive(Clone, Debug)]
pub(crate) struct CountryRanges {
    pub(crate) built: SystemTime,
    countries: Vec<Country>,
    spans: Spans,
}

impl CountryRanges {
    /// Collects the country of each row; rows without one are left out.
    pub(crate) fn from_rows(
        built: SystemTime,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Self, CompactError> {
        let mut ranges = Self {
            built,
            countries: Vec::new(),
            spans: Spans::default(),
        };
        for row in rows {
            let Some(country) = row.record.country else {
                continue;
            };
            let number = match ranges.countries.iter().position(|&known| known == country) {
                Some(number) => number,
                None => {
                    ranges.countries.push(country);
                    ranges.countries.len() - 1
                }
            };
            if !ranges.spans.push(row.start, row.end, number as u32) {
                return Err(CompactError("a range runs backwards"));
            }
        }
        ranges.spans.v4 = flatten(ranges.spans.v4);
        ranges.spans.v6 = flatten(ranges.spans.v6);
        Ok(ranges)
    }

    /// Intervals of IPv4 and of IPv6.
    pub(crate) fn intervals(&self) -> (usize, usize) {
        (self.spans.v4.len(), self.spans.v6.len())
    }

    /// Adds every network to a layer.
    pub(crate) fn read_into(self, builder: &mut LayerBuilder) {
        let record = |&country: &Country| Record {
            country: Some(country),
            ..Record::default()
        };
        let numbers: Vec<u32> = self
            .countries
            .iter()
            .map(|country| builder.intern(&record(country)))
            .collect();
        let renumber = |value: u32| numbers.get(value as usize).copied().unwrap_or_default();
        let v4 = self.spans.v4.into_iter().map(|span| Span {
            value: renumber(span.value),
            ..span
        });
        let v6 = self.spans.v6.into_iter().map(|span| Span {
            value: renumber(span.value),
            ..span
        });
        builder.extend(v4, v6);
    }

    /// The bytes to ship.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CompactError> {
        if self.countries.len() > 254 {
            return Err(CompactError("more than 254 countries"));
        }
        let mut plain = Vec::new();
        write_varint(&mut plain, self.countries.len() as u64);
        for country in &self.countries {
            plain.extend_from_slice(country.as_str().as_bytes());
        }
        let v4 = self
            .spans
            .v4
            .iter()
            .map(|span| (u64::from(span.start), u64::from(span.end), span.value));
        write_intervals(&mut plain, v4);
        let mut v6 = Vec::with_capacity(self.spans.v6.len());
        for span in &self.spans.v6 {
            if span.start as u64 != 0 || span.end as u64 != u64::MAX {
                return Err(CompactError("an IPv6 network is finer than /64"));
            }
            v6.push((
                (span.start >> 64) as u64,
                (span.end >> 64) as u64,
                span.value,
            ));
        }
        write_intervals(&mut plain, v6.into_iter());
        let built = self
            .built
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&built.to_le_bytes());
        bytes.extend_from_slice(&compress_to_vec_zlib(&plain, COMPRESSION_LEVEL));
        Ok(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote. Any other bytes are an error, never a panic.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CompactError> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(CompactError("wrong magic or version"))?;
        let (built, stream) = rest.split_first_chunk().ok_or(CompactError("cut short"))?;
        let built = UNIX_EPOCH
            .checked_add(Duration::from_secs(u64::from_le_bytes(*built)))
            .ok_or(CompactError("built at no time"))?;
        let plain = decompress_to_vec_zlib_with_limit(stream, UNFOLDED_LIMIT)
            .map_err(|_| CompactError("the compressed part is damaged"))?;
        let mut input = plain.as_slice();
        let countries = read_countries(&mut input)?;
        let v4 = read_intervals::<u32>(&mut input, countries.len())?;
        let v6 = read_intervals::<u64>(&mut input, countries.len())?;
        if !input.is_empty() {
            return Err(CompactError("more data than announced"));
        }
        let widen = |span: Span<u64>| Span {
            start: u128::from(span.start) << 64,
            end: u128::from(span.end) << 64 | u128::from(u64::MAX),
            value: span.value,
        };
        Ok(Self {
            built,
            countries,
            spans: Spans {
                v4,
                v6: v6.into_iter().map(widen).collect(),
            },
        })
    }
}

fn write_intervals(out: &mut Vec<u8>, spans: impl Iterator<Item = (u64, u64, u32)>) {
    let mut starts: Vec<(u64, u8)> = Vec::new();
    let mut free = None;
    for (start, end, value) in spans {
        if let Some(gap) = free.filter(|&free| free < start) {
            starts.push((gap, 0));
        }
        starts.push((start, value as u8 + 1));
        free = end.checked_add(1);
    }
    // The end of the address space needs no closing gap; IPv4's lies past its last address.
    starts.extend(free.map(|free| (free, 0)));
    let mut before = 0;
    let distances: Vec<u64> = starts
        .iter()
        .map(|&(start, _)| start - std::mem::replace(&mut before, start))
        .collect();
    write_varint(out, starts.len() as u64);
    out.extend(
        distances
            .iter()
            .map(|distance| distance.trailing_zeros() as u8),
    );
    for distance in &distances {
        write_varint(
            out,
            distance.checked_shr(distance.trailing_zeros()).unwrap_or(0),
        );
    }
    out.extend(starts.iter().map(|&(_, value)| value));
}

fn read_countries(input: &mut &[u8]) -> Result<Vec<Country>, CompactError> {
    let count = read_varint(input)?;
    let codes = take(input, count.saturating_mul(2))?;
    let parse = |code: &[u8]| std::str::from_utf8(code).ok()?.parse().ok();
    codes
        .chunks_exact(2)
        .map(parse)
        .collect::<Option<_>>()
        .ok_or(CompactError("not a country code"))
}

fn read_intervals<K: Key + TryFrom<u64>>(
    input: &mut &[u8],
    countries: usize,
) -> Result<Vec<Span<K>>, CompactError> {
    let count = read_varint(input)?;
    let zeros = take(input, count)?;
    let mut distances = Vec::with_capacity(zeros.len());
    for &zeros in zeros {
        let odd = read_varint(input)?;
        // A distance of 0 has 64 trailing zeros and nothing left.
        distances.push(odd.checked_shl(zeros.into()).unwrap_or(0));
    }
    let values = take(input, count)?;
    let mut spans: Vec<Span<K>> = Vec::with_capacity(values.len());
    let mut open: Option<(K, u32)> = None;
    let mut at = 0u64;
    for (distance, &value) in distances.into_iter().zip(values) {
        at = at
            .checked_add(distance)
            .ok_or(CompactError("past the last address"))?;
        let start = K::try_from(at).ok();
        let end = start.map_or(Some(K::MAX), Key::previous);
        if let Some((start, value)) = open.take() {
            let end = end
                .filter(|&end| start <= end)
                .ok_or(CompactError("an interval is empty"))?;
            spans.push(Span { start, end, value });
        }
        if usize::from(value) > countries {
            return Err(CompactError("no such country"));
        }
        open = start.zip(u32::from(value).checked_sub(1));
    }
    spans.extend(open.map(|(start, value)| Span {
        start,
        end: K::MAX,
        value,
    }));
    Ok(spans)
}

fn take<'a>(input: &mut &'a [u8], count: u64) -> Result<&'a [u8], CompactError> {
    let count = usize::try_from(count).map_err(|_| CompactError("cut short"))?;
    input.split_off(..count).ok_or(CompactError("cut short"))
}

/// Seven bits a byte, low ones first; the top bit says that more follow.
fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_varint(input: &mut &[u8]) -> Result<u64, CompactError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let &byte = input.split_off_first().ok_or(CompactError("cut short"))?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(CompactError("a number is too long"))
}

#[cfg(test)]
mod tests;
