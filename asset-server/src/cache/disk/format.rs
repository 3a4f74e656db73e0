//! The file of one object: `header · key and metadata · body · checksum table`.
//!
//! Every part has a CRC32C. A block's checksum starts from the file's id and the block's number, so
//! that a block of another file, or of another place in this one, does not pass. Pure: bytes in,
//! values out, and arbitrary bytes give an error at worst.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::cache::entry::{Meta, Presence};
use crate::cache::freshness::Freshness;
use crate::cache::vary::VarySet;

/// Bytes of body under one checksum: what a small range has to read at least. With 64 KiB, a range of
/// 64 KiB at a random place has to read and check 128 KiB.
pub const BLOCK: usize = 16 << 10;

/// Bytes of the fixed part of the header.
pub const HEADER: usize = 48;

/// Largest key and metadata accepted.
const MAX_META: usize = 64 << 10;

const MAGIC: [u8; 8] = *b"EDGEOBJ3";

/// The fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The file's own id, which its name repeats.
    pub id: u64,
    /// Bytes of key and metadata.
    pub meta_len: u32,
    /// Bytes of the body.
    pub body_len: u64,
    /// CRC32C of key and metadata.
    pub meta_sum: u32,
    /// CRC32C of the checksum table.
    pub table_sum: u32,
}

/// Why bytes are not a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is shorter than it says.
    #[error("the file is truncated")]
    Truncated,
    /// It does not start like one of ours.
    #[error("the file is not of this format")]
    Magic,
    /// A checksum does not match.
    #[error("a checksum does not match")]
    Checksum,
    /// The checksums match, the content makes no sense.
    #[error("the metadata is malformed")]
    Malformed,
}

impl Header {
    /// Where the body starts.
    pub const fn body_at(&self) -> u64 {
        HEADER as u64 + self.meta_len as u64
    }

    /// Blocks of the body.
    pub const fn blocks(&self) -> u64 {
        self.body_len.div_ceil(BLOCK as u64)
    }

    /// Length that the whole file must have; `None` if no file can be that long.
    pub fn file_len(&self) -> Option<u64> {
        self.body_at()
            .checked_add(self.body_len)?
            .checked_add(self.blocks().checked_mul(4)?)
    }

    /// The header as it stands in the file.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.meta_len.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.meta_sum.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.table_sum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields(bytes.get(..HEADER).ok_or(FormatError::Truncated)?);
        let magic: [u8; 8] = fields.array()?;
        let header = Self {
            id: fields.u64()?,
            body_len: fields.u64()?,
            meta_len: fields.u32()?,
            meta_sum: fields.u32()?,
            table_sum: fields.u32()?,
        };
        if magic != MAGIC {
            return Err(FormatError::Magic);
        }
        if header.encode() != bytes[..HEADER] {
            return Err(FormatError::Checksum);
        }
        if header.meta_len as usize > MAX_META || header.file_len().is_none() {
            return Err(FormatError::Malformed);
        }
        Ok(header)
    }
}

/// Checksum of one block of a file.
pub fn block_sum(id: u64, number: u64, block: &[u8]) -> u32 {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&id.to_le_bytes());
    seed[8..].copy_from_slice(&number.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), block)
}

/// Checksums of all blocks as they stand in the file.
pub fn encode_table(sums: &[u32]) -> Vec<u8> {
    sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

/// Reads the table back.
pub fn decode_table(header: &Header, bytes: &[u8]) -> Result<Vec<u32>, FormatError> {
    if bytes.len() as u64 != header.blocks() * 4 {
        return Err(FormatError::Truncated);
    }
    if crc32c::crc32c(bytes) != header.table_sum {
        return Err(FormatError::Checksum);
    }
    Ok(bytes
        .chunks_exact(4)
        .map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]))
        .collect())
}

/// Key and metadata as they stand in the file. The length is the header's.
pub fn encode_meta(key: &str, meta: &Meta) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut put = |field: &[u8]| {
        bytes.extend_from_slice(&(field.len() as u32).to_le_bytes());
        bytes.extend_from_slice(field);
    };
    put(key.as_bytes());
    let freshness = &meta.freshness;
    let received = freshness
        .received
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut numbers = Vec::with_capacity(51);
    for span in [
        received,
        freshness.initial_age,
        freshness.lifetime,
        freshness.stale_while_revalidate,
        freshness.stale_if_error,
    ] {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        numbers.extend_from_slice(&millis.to_le_bytes());
    }
    // The length of an object in slices is not that of its file.
    let total = match meta.presence {
        Presence::Sliced => meta.length.unwrap_or(0),
        _ => 0,
    };
    numbers.extend_from_slice(&total.to_le_bytes());
    numbers.extend_from_slice(&meta.status.as_u16().to_le_bytes());
    numbers.push(
        u8::from(freshness.must_revalidate)
            | u8::from(freshness.no_cache) << 1
            | u8::from(meta.presence == Presence::Variants) << 2
            | u8::from(meta.presence == Presence::Sliced) << 3,
    );
    put(&numbers);
    let sets: Vec<String> = meta.variants.iter().map(spelled).collect();
    put(sets.join("\n").as_bytes());
    for (name, value) in &meta.headers {
        if name != http::header::CONTENT_LENGTH {
            put(name.as_str().as_bytes());
            put(value.as_bytes());
        }
    }
    bytes
}

/// Reads key and metadata back.
pub fn decode_meta(header: &Header, bytes: &[u8]) -> Result<(String, Meta), FormatError> {
    if bytes.len() != header.meta_len as usize {
        return Err(FormatError::Truncated);
    }
    if crc32c::crc32c(bytes) != header.meta_sum {
        return Err(FormatError::Checksum);
    }
    let mut fields = Fields(bytes);
    let key = std::str::from_utf8(fields.counted()?).map_err(|_| FormatError::Malformed)?;
    let mut numbers = Fields(fields.counted()?);
    let mut span = || numbers.u64().map(Duration::from_millis);
    let (received, initial_age, lifetime) = (span()?, span()?, span()?);
    let (stale_while_revalidate, stale_if_error) = (span()?, span()?);
    let total = numbers.u64()?;
    let status = u16::from_le_bytes(numbers.array()?);
    let status = StatusCode::from_u16(status).map_err(|_| FormatError::Malformed)?;
    let [flags] = numbers.array()?;
    let freshness = Freshness {
        received: SystemTime::UNIX_EPOCH
            .checked_add(received)
            .ok_or(FormatError::Malformed)?,
        initial_age,
        lifetime,
        must_revalidate: flags & 1 != 0,
        no_cache: flags & 2 != 0,
        stale_while_revalidate,
        stale_if_error,
    };
    let (presence, length) = match flags & 12 {
        0 => (Presence::Object, header.body_len),
        4 => (Presence::Variants, 0),
        8 => (Presence::Sliced, total),
        _ => return Err(FormatError::Malformed),
    };
    let variants = read_sets(fields.counted()?).ok_or(FormatError::Malformed)?;
    let mut headers = HeaderMap::with_capacity(16);
    while !fields.0.is_empty() {
        let name = HeaderName::from_bytes(fields.counted()?).map_err(|_| FormatError::Malformed)?;
        let value =
            HeaderValue::from_bytes(fields.counted()?).map_err(|_| FormatError::Malformed)?;
        headers.append(name, value);
    }
    let meta = Meta {
        variants,
        ..Meta::of_headers(presence, status, headers, freshness)
    };
    Ok((key.to_owned(), meta.with_length(Some(length))))
}

/// The names of a set of request headers, separated by commas.
fn spelled(set: &VarySet) -> String {
    let names: Vec<&str> = set.iter().map(|name| name.as_str()).collect();
    names.join(",")
}

/// `None` for what is no list of sets.
fn read_sets(text: &[u8]) -> Option<Arc<[VarySet]>> {
    if text.is_empty() {
        return Some(Arc::from([]));
    }
    let text = std::str::from_utf8(text).ok()?;
    let set = |line: &str| {
        let names = line
            .split(',')
            .map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        names.collect::<Option<VarySet>>()
    };
    text.split('\n').map(set).collect()
}

/// What is left to read of a sequence of little-endian fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (field, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(FormatError::Truncated)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.take(N)?.try_into().map_err(|_| FormatError::Truncated)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    fn counted(&mut self) -> Result<&'a [u8], FormatError> {
        let count = self.u32()?;
        self.take(count as usize)
    }
}
