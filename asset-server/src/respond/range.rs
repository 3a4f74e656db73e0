//! Which bytes a `Range` header asks for (RFC 9110 section 14). Pure.

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// Most ranges answered in one response. Readers of archives ask for a dozen; hundreds are an attack
/// (section 14.2 lets us ignore them, section 17.15 tells us to).
pub const MAX_RANGES: usize = 32;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything, as 200: nothing was asked, or nothing that makes sense.
    Full,
    /// One part, as 206 with `Content-Range`.
    One(Range<u64>),
    /// Several parts, as 206 with `multipart/byteranges`, in the order asked for.
    Several(Vec<Range<u64>>),
    /// 416: no range overlaps the representation.
    Unsatisfiable,
}

/// Section 14.2 for a representation of `length` bytes. A header that is malformed, or of another
/// unit, or given twice, is ignored.
pub fn select(request: &HeaderMap, length: u64) -> Selection {
    let mut values = request.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes(), length).unwrap_or(Selection::Full),
        _ => Selection::Full,
    }
}

/// The first byte of the first range, as far as a header says that without knowing the length; 0 if it
/// does not. Only for choosing what to fetch first.
pub fn first_byte_asked_for(request: &HeaderMap) -> u64 {
    let first = request.get(RANGE).and_then(|value| {
        let (_, set) = split_once(value.as_bytes(), b'=')?;
        let (first, _) = split_once(set, b'-')?;
        number(first.trim_ascii())
    });
    first.unwrap_or(0)
}

/// `None` where the header is to be ignored.
fn parse(header: &[u8], length: u64) -> Option<Selection> {
    let (unit, set) = split_once(header, b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let (mut specs, mut disorder) = (0, 0);
    for spec in set
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|spec| !spec.is_empty())
    {
        specs += 1;
        if specs > MAX_RANGES {
            return None;
        }
        let Some(range) = parse_spec(spec, length)? else {
            continue;
        };
        disorder += usize::from(ranges.last().is_some_and(|last| range.start < last.end));
        ranges.push(range);
    }
    if specs == 0 {
        return None;
    }
    // Section 14.2: more than two that overlap, or many in disorder, are a broken client or an attack.
    if disorder > 2 {
        return None;
    }
    let ranges = coalesce(ranges);
    Some(match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges[0].clone()),
        // The parts together must be worth it.
        _ if ranges.iter().map(|r| r.end - r.start).sum::<u64>() >= length => Selection::Full,
        _ => Selection::Several(ranges),
    })
}

/// Section 14.1.2: `first-last`, `first-` or `-suffix`. The outer `None` is a malformed spec, the
/// inner one a spec that this representation cannot satisfy.
fn parse_spec(spec: &[u8], length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = split_once(spec, b'-')?;
    let range = match (first, last) {
        ([], suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, []) => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some((range.start < range.end).then_some(range))
}

/// Section 15.3.7.2: overlapping parts may be sent as one. The merged part takes the place of the
/// last one mentioned.
fn coalesce(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for mut range in ranges {
        merged.retain(|other| {
            let overlaps = other.start <= range.end && range.start <= other.end;
            if overlaps {
                range = other.start.min(range.start)..other.end.max(range.end);
            }
            !overlaps
        });
        merged.push(range);
    }
    merged
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == separator)?;
    Some((text[..at].trim_ascii(), text[at + 1..].trim_ascii()))
}

/// Digits; a number beyond `u64` is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |n, d| {
        n.saturating_mul(10).saturating_add(u64::from(d - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn selected(header: &str, length: u64) -> Selection {
        let mut headers = HeaderMap::new();
        headers.insert(
            RANGE,
            HeaderValue::from_bytes(header.as_bytes()).expect("a header value"),
        );
        select(&headers, length)
    }

    #[test]
    fn ranges_select_what_section_14_says() {
        use Selection::{Full, One, Several, Unsatisfiable};
        for (header, selection) in [
            ("bytes=0-0", One(0..1)),
            ("bytes=0-99", One(0..100)),
            ("bytes=10-", One(10..100)),
            ("bytes=-10", One(90..100)),
            ("bytes=-1000", One(0..100)),
            ("bytes=90-1000", One(90..100)),
            ("Bytes=1-2", One(1..3)),
            ("bytes= 1-2 , ", One(1..3)),
            ("bytes=0-99999999999999999999999", One(0..100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=200-300,400-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=0-1,200-300", One(0..2)),
            ("bytes=0-1,4-5", Several(vec![0..2, 4..6])),
            ("bytes=90-,0-1", Several(vec![90..100, 0..2])),
            ("bytes=0-5,3-9", One(0..10)),
            ("bytes=0-5,6-9", One(0..10)),
            ("bytes=0-10,20-30,5-25", One(0..31)),
            ("bytes=0-60,70-99,0-50", Several(vec![70..100, 0..61])),
            ("bytes=5-4", Full),
            ("bytes=", Full),
            ("bytes", Full),
            ("bytes=a-b", Full),
            ("bytes=--1", Full),
            ("bytes=1", Full),
            ("bytes=+1-2", Full),
            ("bytes=0-1;2-3", Full),
            ("lines=0-1", Full),
            ("bytes=0-1,x", Full),
            ("bytes=4-5,3-4,2-3,1-2,0-1", Full),
        ] {
            assert_eq!(selected(header, 100), selection, "{header}");
        }
        assert_eq!(
            selected("bytes=0-", 0),
            Unsatisfiable,
            "an empty object has no range"
        );
    }

    #[test]
    fn a_bomb_of_ranges_is_answered_with_the_whole() {
        let header = format!(
            "bytes={}",
            (0..1000)
                .map(|i| format!("{i}-{i}"))
                .collect::<Vec<_>>()
                .join(",")
        );
        assert_eq!(selected(&header, 10_000), Selection::Full);
    }

    #[test]
    fn two_range_headers_are_ignored() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.append(RANGE, HeaderValue::from_static("bytes=2-3"));
        assert_eq!(select(&headers, 100), Selection::Full);
    }

    proptest! {
        #[test]
        fn a_selection_stays_within_the_object(header in "(bytes=)?[-0-9, a]{0,40}", length in 0u64..200) {
            match selected(&header, length) {
                Selection::Full | Selection::Unsatisfiable => {}
                Selection::One(range) => prop_assert!(range.start < range.end && range.end <= length),
                Selection::Several(ranges) => {
                    prop_assert!(ranges.len() > 1);
                    prop_assert!(ranges.iter().map(|r| r.end - r.start).sum::<u64>() < length);
                    for (i, range) in ranges.iter().enumerate() {
                        prop_assert!(range.start < range.end && range.end <= length);
                        prop_assert!(ranges[i + 1..].iter().all(|o| o.end < range.start || range.end < o.start));
                    }
                }
            }
        }

        #[test]
        fn one_plain_range_gives_just_those_bytes(first in 0u64..100, count in 1u64..100) {
            let last = first + count - 1;
            prop_assert_eq!(selected(&format!("bytes={first}-{last}"), 100), Selection::One(first..(last + 1).min(100)));
        }

        #[test]
        fn any_bytes_at_all_are_survived(header in proptest::collection::vec(32u8..127, 0..64)) {
            let _ = selected(&String::from_utf8_lossy(&header), 1000);
        }
    }
}
