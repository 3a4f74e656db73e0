use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::format::{self, BLOCK, HEADER, Header};
use crate::cache::entry::Meta;
use crate::cache::freshness::Freshness;

mod failing;
mod restart;
mod tier;

fn meta(length: u64) -> Meta {
    let mut headers = HeaderMap::new();
    headers.insert("etag", HeaderValue::from_static("\"v1\""));
    headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
    let freshness = Freshness {
        received: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        initial_age: Duration::from_secs(3),
        lifetime: Duration::from_secs(60),
        must_revalidate: true,
        no_cache: false,
        stale_while_revalidate: Duration::from_secs(4),
        stale_if_error: Duration::from_secs(9),
    };
    let status = http::StatusCode::OK;
    Meta::of_response(
        status,
        &headers,
        &[],
        Some("/a/b.js"),
        Some(length),
        freshness,
    )
}

/// One for each block of the body.
fn sums() -> Vec<u32> {
    (0..100_000_u32.div_ceil(BLOCK as u32)).collect()
}

fn head() -> (Header, Vec<u8>) {
    let meta = format::encode_meta("/a/b.js", &meta(100_000));
    let header = Header {
        id: 42,
        meta_len: meta.len() as u32,
        body_len: 100_000,
        meta_sum: crc32c::crc32c(&meta),
        table_sum: crc32c::crc32c(&format::encode_table(&sums())),
    };
    (header, meta)
}

#[test]
fn a_head_reads_back_as_it_was_written() {
    let (header, bytes) = head();
    assert_eq!(Header::decode(&header.encode()), Ok(header));
    let (key, read) = format::decode_meta(&header, &bytes).expect("sound");
    let written = meta(100_000);
    assert_eq!(
        (key.as_str(), read.freshness, read.headers),
        ("/a/b.js", written.freshness, written.headers)
    );
    assert_eq!(
        (read.length, read.validators),
        (Some(100_000), written.validators)
    );
    assert_eq!(
        format::decode_table(&header, &format::encode_table(&sums())),
        Ok(sums())
    );
}

#[test]
fn a_block_passes_in_its_own_place_only() {
    let block = vec![7; BLOCK];
    let own = format::block_sum(1, 0, &block);
    assert_ne!(own, format::block_sum(1, 1, &block));
    assert_ne!(own, format::block_sum(2, 0, &block));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_file(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Header::decode(&bytes).is_err());
        let (mut header, _) = head();
        prop_assert!(format::decode_meta(&header, &bytes).is_err());
        // Even with a matching checksum nonsense is refused or read, never a panic.
        header.meta_len = bytes.len() as u32;
        header.meta_sum = crc32c::crc32c(&bytes);
        let _ = format::decode_meta(&header, &bytes);
    }

    #[test]
    fn one_flipped_bit_is_noticed(at in 0usize..(HEADER + 150) * 8) {
        let (header, mut meta) = head();
        let mut fixed = header.encode();
        let (byte, bit) = (at / 8, 1u8 << (at % 8));
        if byte < HEADER {
            fixed[byte] ^= bit;
            prop_assert!(Header::decode(&fixed).is_err());
        } else if let Some(place) = meta.get_mut(byte - HEADER) {
            *place ^= bit;
            prop_assert!(format::decode_meta(&header, &meta).is_err());
        }
    }
}
