//! `Accept-Encoding` (RFC 9110 section 12.5.3): what a client takes, and the one coding it gets.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use super::Coding;

/// Most members that are read; browsers send four.
const MAX_MEMBERS: usize = 32;

/// How much a client wants each coding, in thousandths; 0 is "not at all".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    zstd: u16,
    br: u16,
    gzip: u16,
    identity: u16,
}

impl Accepted {
    /// What a client that says nothing gets: the field's absence would allow any coding, but such
    /// clients (scripts, old tools) often cannot undo one.
    const PLAIN: Self = Self {
        zstd: 0,
        br: 0,
        gzip: 0,
        identity: 1000,
    };

    /// The wishes of a request. Members that are not well-formed are skipped; of two for one coding the
    /// first counts.
    pub fn of(request: &HeaderMap) -> Self {
        if !request.contains_key(ACCEPT_ENCODING) {
            return Self::PLAIN;
        }
        let (mut zstd, mut br, mut gzip, mut identity, mut any) = (None, None, None, None, None);
        let members = request
            .get_all(ACCEPT_ENCODING)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .take(MAX_MEMBERS);
        for member in members {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let slot = if name.eq_ignore_ascii_case(b"zstd") {
                &mut zstd
            } else if name.eq_ignore_ascii_case(b"br") {
                &mut br
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                // Section 8.4.1.3: a recipient considers x-gzip to be gzip.
                &mut gzip
            } else if name.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if name == b"*" {
                &mut any
            } else {
                continue;
            };
            if let (Some(weight), None) = (weight(parts), *slot) {
                *slot = Some(weight);
            }
        }
        let others = any.unwrap_or(0);
        Self {
            zstd: zstd.unwrap_or(others),
            br: br.unwrap_or(others),
            gzip: gzip.unwrap_or(others),
            // Without a word about it, identity is acceptable, but liked less than anything listed.
            identity: identity.or(any.filter(|weight| *weight == 0)).unwrap_or(1),
        }
    }

    /// The coding to answer with, of those that are offered: what the client likes best, and among equals
    /// what is offered first. `None` is identity: because it is liked best, or because nothing else can
    /// be had. A client that refuses even that gets it nevertheless; section 12.5.3 leaves it to us, and
    /// bytes are of more use than 406.
    pub fn select(self, offered: &[Coding]) -> Option<Coding> {
        let mut best = None;
        // A coding costs the client something, so it must be liked as much as no coding.
        let mut at_least = self.identity.max(1);
        for &coding in offered {
            let weight = self.weight(coding);
            if weight > at_least || (best.is_none() && weight == at_least) {
                (best, at_least) = (Some(coding), weight);
            }
        }
        best
    }

    /// Codings that the client takes, of those offered, in the order in which to try them.
    pub fn ordered(self, offered: &[Coding]) -> arrayvec::ArrayVec<Coding, 3> {
        let mut left: arrayvec::ArrayVec<Coding, 3> = arrayvec::ArrayVec::new();
        for coding in offered {
            if !left.contains(coding) && !left.is_full() {
                left.push(*coding);
            }
        }
        let mut ordered = arrayvec::ArrayVec::new();
        while let Some(coding) = self.select(&left) {
            left.retain(|other| *other != coding);
            ordered.push(coding);
        }
        ordered
    }

    fn weight(self, coding: Coding) -> u16 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
        }
    }
}

/// Section 12.4.2, in thousandths; 1 where none is given.
fn weight<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    let mut weight = 1000;
    for parameter in parameters {
        if parameter.is_empty() {
            continue;
        }
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&parameter[..at], &parameter[at + 1..]);
        if name.trim_ascii().eq_ignore_ascii_case(b"q") {
            weight = thousandths(value.trim_ascii())?;
        }
    }
    Some(weight)
}

/// `0`, `1`, or either with up to three decimals, and no more than 1.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1,
        _ => return None,
    };
    for place in 0..3 {
        let digit = match decimals.get(place) {
            None => 0,
            Some(digit) if digit.is_ascii_digit() => u16::from(digit - b'0'),
            Some(_) => return None,
        };
        value = value * 10 + digit;
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                ACCEPT_ENCODING,
                HeaderValue::try_from(*line).expect("a value"),
            );
        }
        Accepted::of(&headers)
    }

    #[test]
    fn a_client_gets_what_section_12_5_3_says() {
        use Coding::{Br, Gzip, Zstd};
        for (line, selected) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Br)),
            ("gzip, deflate", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("deflate", None),
            ("", None),
            ("identity", None),
            ("identity, gzip", Some(Gzip)),
            ("identity, gzip;q=0.9", None),
            ("identity;q=0.5, gzip;q=0.9", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("gzip;q=0.001", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("*", Some(Zstd)),
            ("*;q=0", None),
            ("*;q=0, br", Some(Br)),
            ("zstd;q=0, *", Some(Br)),
            ("br;q=0.8, gzip;q=0.9", Some(Gzip)),
            ("br ; q=0.8 , gzip ; Q=0.8", Some(Br)),
            ("gzip;q=1.000", Some(Gzip)),
            ("gzip;q=1.001", None),
            ("gzip;q=2", None),
            ("gzip;q=", None),
            ("gzip;q=.5", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=nan, br;q=0.1", Some(Br)),
            ("gzip;q", None),
            ("gzip;level=9", Some(Gzip)),
            ("gzip;q=0, gzip;q=1", None),
            (",,gzip,,", Some(Gzip)),
            ("gzip br", None),
            ("gzipped", None),
        ] {
            assert_eq!(accepted(&[line]).select(&Coding::ALL), selected, "{line}");
        }
        assert_eq!(accepted(&[]).select(&Coding::ALL), None, "no field");
        assert_eq!(
            accepted(&["deflate", "br"]).select(&Coding::ALL),
            Some(Br),
            "two lines"
        );
    }

    #[test]
    fn only_what_is_offered_is_selected() {
        let all = accepted(&["gzip, br, zstd"]);
        assert_eq!(all.select(&[]), None);
        assert_eq!(all.select(&[Coding::Gzip]), Some(Coding::Gzip));
        assert_eq!(
            all.select(&[Coding::Br, Coding::Zstd]),
            Some(Coding::Br),
            "offered first"
        );
        let ordered = accepted(&["gzip, br;q=0.5, zstd;q=0"]).ordered(&Coding::ALL);
        assert_eq!(ordered.as_slice(), [Coding::Gzip, Coding::Br]);
    }

    proptest! {
        #[test]
        fn a_refused_coding_is_never_selected(weights in proptest::array::uniform4(0u16..=1000), offer in 0usize..8) {
            let [zstd, br, gzip, identity] = weights;
            let text = |weight: u16| format!("{}.{:03}", weight / 1000, weight % 1000);
            let line = format!("zstd;q={}, br;q={}, gzip;q={}, identity;q={}", text(zstd), text(br), text(gzip), text(identity));
            let accepted = accepted(&[&line]);
            prop_assert_eq!(accepted, Accepted { zstd, br, gzip, identity });
            let offered: Vec<_> = Coding::ALL.into_iter().enumerate().filter(|(i, _)| offer & (1 << i) != 0).map(|(_, c)| c).collect();
            let best = offered.iter().map(|c| accepted.weight(*c)).max().unwrap_or(0);
            match accepted.select(&offered) {
                Some(coding) => {
                    prop_assert!(offered.contains(&coding));
                    prop_assert!(accepted.weight(coding) == best && best > 0 && best >= identity);
                }
                None => prop_assert!(best == 0 || best < identity),
            }
        }

        #[test]
        fn any_bytes_at_all_are_survived(line in proptest::collection::vec(32u8..=255, 0..200)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.insert(ACCEPT_ENCODING, value);
            }
            let ordered = Accepted::of(&headers).ordered(&Coding::ALL);
            prop_assert!(ordered.len() <= 3);
        }
    }
}
