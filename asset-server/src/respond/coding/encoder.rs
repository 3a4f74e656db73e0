//! Bytes in, coded bytes out, a step at a time.
//!
//! The coded form of an object has a strong entity tag, and is made anew by every instance and after
//! every eviction; so the same object must come to the same bytes each time. An encoder's output depends
//! on how its input is cut and where it is flushed. Both are fixed here by position ([`Encoder::wants`]),
//! never by how the bytes happened to arrive.

use std::io;

use super::Coding;

/// The first step is short and flushed, so that a client sees bytes when the origin has hardly begun.
const FIRST: usize = 8 << 10;

/// All others: long enough to compress well, short enough (a few milliseconds of work) to share a thread.
const STEP: usize = 64 << 10;

/// Levels for content that is coded once, cached, and waited for: past these each percent costs double.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 5;
const GZIP_LEVEL: u32 = 6;

/// Brotli's window of 1 MiB, and with it a few MiB of memory for each encoder at work.
const BROTLI_WINDOW: u32 = 20;

/// One object being coded.
pub struct Encoder {
    kind: Kind,
    begun: bool,
}

enum Kind {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// An encoder at the start of an object.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let kind = match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Kind::Zstd(encoder)
            }
            Coding::Br => Kind::Br(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                16 << 10,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            Coding::Gzip => Kind::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(GZIP_LEVEL),
            )),
        };
        Ok(Self { kind, begun: false })
    }

    /// Bytes of the next step. Only the last step may be shorter.
    pub fn wants(&self) -> usize {
        if self.begun { STEP } else { FIRST }
    }

    /// Takes the bytes of one step, and gives what is ready of the coded form: for the first step all of
    /// it, later whatever the encoder lets go.
    pub fn step(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let first = !std::mem::replace(&mut self.begun, true);
        let whole = bytes.len() >= FIRST;
        match &mut self.kind {
            Kind::Zstd(encoder) => write(encoder, bytes, first && whole)?,
            Kind::Br(encoder) => write(encoder, bytes, first && whole)?,
            Kind::Gzip(encoder) => write(encoder, bytes, first && whole)?,
        }
        Ok(std::mem::take(match &mut self.kind {
            Kind::Zstd(encoder) => encoder.get_mut(),
            Kind::Br(encoder) => encoder.get_mut(),
            Kind::Gzip(encoder) => encoder.get_mut(),
        }))
    }

    /// The end of the coded form.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.kind {
            Kind::Zstd(encoder) => encoder.finish(),
            Kind::Br(encoder) => Ok(encoder.into_inner()),
            Kind::Gzip(encoder) => encoder.finish(),
        }
    }
}

fn write(encoder: &mut impl io::Write, bytes: &[u8], flush: bool) -> io::Result<()> {
    encoder.write_all(bytes)?;
    if flush { encoder.flush() } else { Ok(()) }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let coding = match self.kind {
            Kind::Zstd(_) => Coding::Zstd,
            Kind::Br(_) => Coding::Br,
            Kind::Gzip(_) => Coding::Gzip,
        };
        f.debug_tuple("Encoder").field(&coding).finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// A page of words, the same each time.
    pub(in crate::respond::coding) fn text(length: usize) -> Vec<u8> {
        let mut random = 7u64;
        let words = [
            "tensor ",
            "the ",
            "layer",
            "=\"",
            "\n",
            "function(",
            "0.125, ",
            "é",
        ];
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            // Knuth's generator: the same for ever, whatever becomes of a crate.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(words[(random >> 61) as usize].as_bytes());
        }
        text.truncate(length);
        text
    }

    pub(in crate::respond::coding) fn encoded(coding: Coding, object: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).expect("an encoder");
        let (mut coded, mut rest) = (Vec::new(), object);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(encoder.wants().min(rest.len()));
            coded.extend(encoder.step(now).expect("coded"));
            rest = later;
        }
        coded.extend(encoder.finish().expect("an end"));
        coded
    }

    pub(in crate::respond::coding) fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut object = Vec::new();
        match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(coded)
                .and_then(|mut decoder| decoder.read_to_end(&mut object)),
            Coding::Br => brotli::Decompressor::new(coded, 4096).read_to_end(&mut object),
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut object),
        }
        .expect("well-formed");
        object
    }

    #[test]
    fn the_coded_form_is_smaller_and_comes_back() {
        for coding in Coding::ALL {
            for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + STEP, 500_000] {
                let object = text(length);
                let coded = encoded(coding, &object);
                assert!(decoded(coding, &coded) == object, "{coding:?} {length}");
                assert!(
                    length < 1000 || coded.len() < length / 2,
                    "{coding:?}: {}",
                    coded.len()
                );
            }
        }
    }

    #[test]
    fn the_first_step_is_given_at_once() {
        for coding in Coding::ALL {
            let object = text(FIRST);
            let mut encoder = Encoder::new(coding).expect("an encoder");
            let given = encoder.step(&object).expect("coded");
            let mut seen = vec![0; FIRST];
            match coding {
                Coding::Zstd => zstd::stream::read::Decoder::new(&given[..])
                    .and_then(|mut decoder| decoder.read_exact(&mut seen)),
                Coding::Br => brotli::Decompressor::new(&given[..], 4096).read_exact(&mut seen),
                Coding::Gzip => flate2::read::GzDecoder::new(&given[..]).read_exact(&mut seen),
            }
            .expect("all of the first step");
            assert!(seen == object, "{coding:?}");
        }
    }

    /// Entity tags promise these bytes. If a library or a level changes them, the words that
    /// `entity_tag` puts into tags must change too (`zstd` to `zstd2`), or a client could mend half a
    /// download of the old bytes with the new ones.
    #[test]
    fn the_bytes_are_those_that_entity_tags_promise() {
        let object = text(300_000);
        let sums = Coding::ALL.map(|coding| crc32c::crc32c(&encoded(coding, &object)));
        assert_eq!(
            sums,
            [3_781_996_238, 2_457_968_116, 3_998_891_264],
            "read the comment above this test"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_object_comes_back(object in proptest::collection::vec(any::<u8>(), 0..40_000), which in 0usize..3) {
            let coding = Coding::ALL[which];
            prop_assert!(decoded(coding, &encoded(coding, &object)) == object);
        }
    }
}
