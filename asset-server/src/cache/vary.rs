//! Variants: which stored response suits a request (RFC 9111 section 4.1). Pure.
//!
//! Under a key whose responses vary stands a list of the header sets that they vary by; each variant
//! has a key of its own, made of the key and the request's normalised values of such a set.

use std::fmt::Write as _;
use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};

use super::directives::split_list;

/// Begins the variant part of a key. No path has it: control characters are refused there.
pub const VARIANT: char = '\u{2}';

/// Sets of headers that one key's responses may vary by. More would mean that the origin varies
/// without a plan; the oldest is forgotten then.
pub const MAX_SETS: usize = 8;

/// Request headers that a response varies by: lower case, sorted, each once.
pub type VarySet = Arc<[HeaderName]>;

/// What `Vary` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Varies {
    /// Nothing: the response suits every request.
    ByNothing,
    /// It suits requests that have the same values in these.
    By(VarySet),
    /// `*`, or a name that is none: it suits no other request.
    ByEverything,
}

impl Varies {
    /// All `Vary` lines of a response together. `Origin` and the preflight's headers are left out
    /// where they cannot change anything; that is decided by who asks, not here.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for name in headers
            .get_all(VARY)
            .iter()
            .flat_map(|value| split_list(value.as_bytes()))
        {
            match HeaderName::from_bytes(name) {
                Ok(name) if name.as_str() != "*" => names.push(name),
                _ => return Self::ByEverything,
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        match names.is_empty() {
            true => Self::ByNothing,
            false => Self::By(names.into()),
        }
    }
}

/// The key of the variant of `key` that suits a request.
pub fn variant_key(key: &str, set: &VarySet, request: &HeaderMap) -> String {
    let mut variant = String::with_capacity(key.len() + 64);
    variant.push_str(key);
    variant.push(VARIANT);
    for name in set.iter() {
        let value = normalized(name, request);
        let _ = write!(variant, "{name}=");
        // Anything but plain text is spelled out, so that values cannot run into each other.
        for byte in value.iter().flatten() {
            match byte {
                b'%' | b'&' | 0..0x20 | 0x7f.. => {
                    let _ = write!(variant, "%{byte:02x}");
                }
                byte => variant.push(char::from(*byte)),
            }
        }
        variant.push(if value.is_some() { '&' } else { '!' });
    }
    variant
}

/// A header's value without what makes no difference. `None` if the request does not have it, which is
/// a value of its own: section 4.1.
fn normalized(name: &HeaderName, request: &HeaderMap) -> Option<Vec<u8>> {
    if !request.contains_key(name) {
        return None;
    }
    let lines: Vec<_> = request
        .get_all(name)
        .iter()
        .map(|line| line.as_bytes())
        .collect();
    let whole = lines.join(&b","[..]);
    Some(match name {
        name if name == ACCEPT_ENCODING => codings(&whole),
        name if name == ACCEPT_LANGUAGE => by_preference(&whole).join(&b","[..]),
        _ => split_list(&whole).collect::<Vec<_>>().join(&b","[..]),
    })
}

/// Of all codings only those that somebody uses, in one order, without weights: what is left decides
/// which of an origin's representations may be sent.
fn codings(value: &[u8]) -> Vec<u8> {
    let accepted = by_preference(value);
    let accepts = |coding: &[u8]| {
        let named = accepted.iter().any(|name| weightless(name) == coding);
        named || (accepted.iter().any(|name| weightless(name) == b"*"))
    };
    let known: Vec<&[u8]> = [&b"br"[..], b"gzip", b"zstd"]
        .into_iter()
        .filter(|coding| accepts(coding))
        .collect();
    known.join(&b","[..])
}

/// `Accept-Encoding` as it is sent on, so that one of few spellings reaches the origin.
pub fn normalized_accept_encoding(request: &HeaderMap) -> Option<http::HeaderValue> {
    let value = normalized(&ACCEPT_ENCODING, request)?;
    let value = match value.is_empty() {
        true => b"identity".to_vec(),
        false => value,
    };
    http::HeaderValue::from_bytes(&value).ok()
}

/// Members in lower case, the most wanted first, equal ones by name, unwanted ones (`q=0`) left out.
fn by_preference(value: &[u8]) -> Vec<Vec<u8>> {
    let mut members: Vec<(u16, Vec<u8>)> = split_list(value)
        .map(|member| {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(weight).unwrap_or(1000);
            (weight, name)
        })
        .filter(|(weight, name)| *weight > 0 && !name.is_empty())
        .collect();
    members.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    members.dedup();
    let spelled = members.into_iter().map(|(weight, mut name)| {
        if weight < 1000 {
            name.extend_from_slice(format!(";q=0.{weight:03}").as_bytes());
        }
        name
    });
    spelled.collect()
}

/// RFC 9110 section 12.4.2, in thousandths.
fn weight(parameter: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(parameter).ok()?;
    let value = text
        .strip_prefix("q=")
        .or_else(|| text.strip_prefix("Q="))?;
    let value: f32 = value.trim().parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1000.0) as u16)
}

fn weightless(member: &[u8]) -> &[u8] {
    member
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
}

/// The sets of a key after a response that varies by `set`: it comes first, as the likeliest to suit
/// the next request.
pub fn with_set(known: &[VarySet], set: &VarySet) -> Arc<[VarySet]> {
    let others = known.iter().filter(|other| *other != set);
    std::iter::once(set)
        .chain(others)
        .take(MAX_SETS)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn set(names: &[&'static str]) -> VarySet {
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect()
    }

    #[test]
    fn a_star_anywhere_means_everything() {
        for (lines, expected) in [
            (&["*"] as &[_], Varies::ByEverything),
            (&["foo, *"], Varies::ByEverything),
            (&["foo", " ,*"], Varies::ByEverything),
            (&["f oo"], Varies::ByEverything),
            (&[""], Varies::ByNothing),
            (&[], Varies::ByNothing),
            (&["Foo, bar", "FOO"], Varies::By(set(&["bar", "foo"]))),
        ] {
            let mut response = HeaderMap::new();
            for line in lines {
                response.append(VARY, HeaderValue::from_static(line));
            }
            assert_eq!(Varies::of(&response), expected, "{lines:?}");
        }
    }

    #[test]
    fn requests_that_mean_the_same_meet_in_one_key() {
        let key = |name, lines: &[&'static str]| {
            let lines: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
            variant_key("/a", &set(&[name]), &headers(&lines))
        };
        for (name, a, b) in [
            ("foo", &["1, 2"] as &[_], &["1", "2"] as &[_]),
            ("foo", &["1,2"], &[" 1 ,  2 "]),
            ("accept-language", &["en, DE"], &["de", "en"]),
            (
                "accept-language",
                &["en;q=0.5, de"],
                &["de;q=1.0,en;q=0.50"],
            ),
            (
                "accept-encoding",
                &["gzip, deflate, br"],
                &["br;q=0.9, gzip, foo"],
            ),
            ("accept-encoding", &["identity"], &["deflate"]),
        ] {
            assert_eq!(key(name, a), key(name, b));
        }
        for (name, a, b) in [
            ("foo", &["1, 2"] as &[_], &["2, 1"] as &[_]),
            ("foo", &["1"], &[]),
            ("foo", &[""], &[]),
            ("foo", &["a"], &["A"]),
            ("foo", &["a&b"], &["a%26b"]),
            ("accept-language", &["en;q=0.5, de"], &["en, de;q=0.5"]),
            ("accept-encoding", &["gzip"], &["gzip;q=0"]),
        ] {
            assert_ne!(key(name, a), key(name, b));
        }
    }

    #[test]
    fn the_sets_of_a_key_stay_few_and_the_newest_is_first() {
        let many: Vec<_> = (0..20)
            .map(|i| HeaderName::try_from(format!("x-{i}")))
            .collect();
        let mut sets: Arc<[VarySet]> = Arc::from([]);
        for name in many.into_iter().flatten() {
            sets = with_set(&sets, &Arc::from([name]));
        }
        assert_eq!(sets.len(), MAX_SETS);
        assert_eq!(sets[0][0], "x-19");
        let again = with_set(&sets, &sets[3].clone());
        assert_eq!((again.len(), &again[0]), (MAX_SETS, &sets[3]));
    }
}
