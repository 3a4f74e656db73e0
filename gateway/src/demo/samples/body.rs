//! The bytes of a sample: pseudo-random, and always the same for the same key.

use bytes::Bytes;
use fastrand::Rng;

use super::Kind;

const CHUNK: u64 = 1 << 20;

#[rustfmt::skip]
const WORDS: [&str; 32] = [
    "\"epoch\": ", "\"loss\": ", "\"accuracy\": ", "\"label\": ", "\"shape\": ", "const ", "return ", "import ",
    "function ", "await ", "tensor", "gradient", "batch", "weights", "layer", "token", "model", "sample", "edge",
    "region", "0.125", "0.5", "42", "1024", "true", "null", ", ", "; ", " = ", " => ", "()", "\n",
];

/// The body of the object `key` in chunks of at most 1 MiB, each of which depends only on key and place.
pub(super) fn chunks(
    key: &str,
    kind: Kind,
    length: u64,
) -> impl Iterator<Item = Bytes> + Send + Sync + use<> {
    let seed = seed_of(key);
    (0..length.div_ceil(CHUNK)).map(move |index| {
        let mut rng = Rng::with_seed(seed.wrapping_add(index));
        let size = CHUNK.min(length - index * CHUNK) as usize;
        match kind {
            Kind::Noise => noise(&mut rng, size),
            Kind::Text => text(&mut rng, size),
        }
    })
}

fn noise(rng: &mut Rng, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes.into()
}

fn text(rng: &mut Rng, size: usize) -> Bytes {
    let mut text = Vec::with_capacity(size + 16);
    while text.len() < size {
        text.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
    }
    text.truncate(size);
    text.into()
}

/// FNV-1a: the standard library's hashers may change between releases, the samples must not.
fn seed_of(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(key: &str, kind: Kind, length: u64) -> Vec<u8> {
        chunks(key, kind, length).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_body_has_its_length_and_is_the_same_every_time_and_for_no_other_key() {
        for kind in [Kind::Noise, Kind::Text] {
            for length in [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1] {
                assert_eq!(body("a", kind, length).len() as u64, length);
            }
            assert_eq!(body("a", kind, 4096), body("a", kind, 4096));
            assert_ne!(body("a", kind, 4096), body("b", kind, 4096));
        }
    }

    #[test]
    fn no_chunk_repeats_another() {
        let two = body("a", Kind::Noise, 2 * CHUNK);
        assert_ne!(two[..4096], two[CHUNK as usize..][..4096]);
    }
}
