//! What is written to shared storage, sealed: AES-256-GCM with a random nonce.
//!
//! ```text
//! "edgecert" | version 1 | key id (4) | nonce (12) | ciphertext and tag
//! ```
//!
//! Everything before the nonce and the object's name are authenticated with it, so an object that was
//! changed, or put in another's place, does not open. The first key seals; every key opens, which is how
//! keys are rotated. Pure but for the randomness. Not for secrets of the process: those are `serving::secret`.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const MAGIC: &[u8; 8] = b"edgecert";
const VERSION: u8 = 1;
const ID_LEN: usize = 4;
const HEADER: usize = MAGIC.len() + 1 + ID_LEN;

/// Different bytes that a key must have. Of 32 random bytes fewer than 20 are different once in 10^9 keys;
/// a repeated word or a run of zeros has far fewer.
const DIFFERENT_BYTES: usize = 20;

/// Why a key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not what a key looks like.
    #[error("not 32 bytes in base64; `openssl rand -base64 32` makes a key")]
    Malformed,
    /// It could be guessed.
    #[error("a key that could be guessed; `openssl rand -base64 32` makes a good one")]
    Weak,
}

/// Why an object does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was not sealed by a gateway.
    #[error("it is no sealed object")]
    Malformed,
    /// It was sealed by a newer gateway.
    #[error("it has format version {0}, and this gateway knows up to 1")]
    Version(u8),
    /// None of the keys sealed it.
    #[error("it is sealed with key {0:08x}, which is not among `certificates.keys`")]
    UnknownKey(u32),
    /// It was changed, or belongs under another name.
    #[error("it was changed since it was sealed, or belongs under another name")]
    Damaged,
}

/// The keys of the store; at least one.
pub struct Keys(Vec<(u32, RandomizedNonceKey)>);

impl Keys {
    /// Keys as written: 32 bytes in base64 each. The first one seals. `Err` has the place of the bad one.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, KeyError)> {
        let keys = texts
            .into_iter()
            .enumerate()
            .map(|(at, text)| key(text).map_err(|error| (at, error)))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err((0, KeyError::Malformed));
        }
        Ok(Self(keys))
    }

    /// Whether `sealed` was sealed with the first key; else it should be sealed anew.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let first = self.0.first().map(|(id, _)| *id);
        matches!(parse(sealed), Ok((id, ..)) if Some(id) == first)
    }

    /// Seals `plain` as the object `name`.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let (id, key) = &self.0[0];
        let mut sealed = Vec::with_capacity(HEADER + NONCE_LEN + plain.len() + 16);
        sealed.extend_from_slice(MAGIC);
        sealed.push(VERSION);
        sealed.extend_from_slice(&id.to_be_bytes());
        let mut body = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(associated(&sealed, name)), &mut body)
            .expect("AES-GCM seals anything shorter than 64 GiB");
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens the object `name`.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (id, header, nonce, body) = parse(sealed)?;
        let key = self.0.iter().find(|(known, _)| *known == id);
        let (_, key) = key.ok_or(OpenError::UnknownKey(id))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;
        let mut body = body.to_vec();
        let plain = key
            .open_in_place(nonce, Aad::from(associated(header, name)), &mut body)
            .map_err(|_| OpenError::Damaged)?;
        Ok(plain.to_vec())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|(id, _)| format!("{id:08x}"));
        f.debug_list().entries(ids).finish()
    }
}

type Parts<'a> = (u32, &'a [u8], &'a [u8], &'a [u8]);

/// Key id, header, nonce and body.
fn parse(sealed: &[u8]) -> Result<Parts<'_>, OpenError> {
    let rest = sealed.strip_prefix(MAGIC).ok_or(OpenError::Malformed)?;
    let (version, rest) = rest.split_first().ok_or(OpenError::Malformed)?;
    if *version != VERSION {
        return Err(OpenError::Version(*version));
    }
    let (id, rest) = rest
        .split_first_chunk::<ID_LEN>()
        .ok_or(OpenError::Malformed)?;
    let (nonce, body) = rest
        .split_at_checked(NONCE_LEN)
        .ok_or(OpenError::Malformed)?;
    Ok((u32::from_be_bytes(*id), &sealed[..HEADER], nonce, body))
}

fn associated(header: &[u8], name: &str) -> Vec<u8> {
    [header, name.as_bytes()].concat()
}

/// A key and its id, which says nothing of it: the beginning of a hash.
fn key(text: &str) -> Result<(u32, RandomizedNonceKey), KeyError> {
    let bytes: [u8; 32] = STANDARD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(KeyError::Malformed)?;
    let mut seen = [false; 256];
    bytes
        .iter()
        .for_each(|byte| seen[usize::from(*byte)] = true);
    if seen.iter().filter(|seen| **seen).count() < DIFFERENT_BYTES {
        return Err(KeyError::Weak);
    }
    let hash = digest::digest(
        &digest::SHA256,
        &[b"edge certificate key", &bytes[..]].concat(),
    );
    let id = hash.as_ref().first_chunk().copied().unwrap_or_default();
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyError::Malformed)?;
    Ok((u32::from_be_bytes(id), key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "Q0mC2wE7yq3JxX9oTg1vVw5mZ0pRk8sLhNfUeYtBd6I=";
    const TWO: &str = "m1X0a9s8D7f6G5h4J3k2L1z0X9c8V7b6N5m4Q3w2E1o=";

    fn keys(texts: &[&'static str]) -> Keys {
        Keys::new(texts.iter().copied()).unwrap()
    }

    #[test]
    fn a_rotated_key_still_opens_what_it_sealed_and_a_dropped_one_is_named() {
        let sealed = keys(&[ONE]).seal("a", b"secret");
        assert_eq!(keys(&[TWO, ONE]).open("a", &sealed).unwrap(), b"secret");
        assert!(!keys(&[TWO, ONE]).is_current(&sealed));
        assert!(keys(&[ONE, TWO]).is_current(&sealed));
        let error = keys(&[TWO]).open("a", &sealed).unwrap_err();
        assert!(matches!(error, OpenError::UnknownKey(_)), "{error}");
    }

    #[test]
    fn two_objects_cannot_change_places() {
        let keys = keys(&[ONE]);
        let sealed = keys.seal("certificates/a.test", b"secret");
        let swapped = keys.open("certificates/b.test", &sealed);
        assert_eq!(swapped, Err(OpenError::Damaged));
    }

    #[test]
    fn a_newer_format_is_named() {
        let keys = keys(&[ONE]);
        let mut sealed = keys.seal("a", b"secret");
        sealed[MAGIC.len()] = 2;
        assert_eq!(keys.open("a", &sealed), Err(OpenError::Version(2)));
    }

    #[test]
    fn keys_that_could_be_guessed_are_refused() {
        let zeros = STANDARD.encode([0; 32]);
        let word = STANDARD.encode(b"passwordpasswordpasswordpassword");
        for (text, expected) in [
            ("", KeyError::Malformed),
            ("correct horse battery staple", KeyError::Malformed),
            ("Q0mC2wE7yq3JxX9oTg1vVw==", KeyError::Malformed),
            (&*zeros, KeyError::Weak),
            (&*word, KeyError::Weak),
        ] {
            assert_eq!(Keys::new([text]).unwrap_err(), (0, expected), "{text}");
        }
        assert!(Keys::new([]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_one_changed_bit_does_not(
            plain: Vec<u8>, name in "[a-z./*]{0,20}", at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let keys = keys(&[ONE, TWO]);
            let mut sealed = keys.seal(&name, &plain);
            prop_assert_eq!(keys.open(&name, &sealed).unwrap(), plain);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(keys.open(&name, &sealed).is_err());
        }

        #[test]
        fn hostile_envelopes_are_refused(rest: Vec<u8>, beginning in 0_usize..14) {
            let keys = keys(&[ONE]);
            let genuine = keys.seal("a", b"secret");
            let hostile = [&genuine[..beginning], &rest[..]].concat();
            prop_assert!(hostile == genuine || keys.open("a", &hostile).is_err());
        }
    }
}
