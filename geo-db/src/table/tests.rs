use proptest::prelude::*;

use super::*;

fn span<K>(start: K, end: K, value: u32) -> Span<K> {
    Span { start, end, value }
}

#[test]
fn the_most_specific_span_wins() {
    type Spans<'a> = &'a [Span<u32>];
    let cases: [(Spans<'_>, Spans<'_>); 5] = [
        (&[span(10, 20, 1), span(21, 30, 1)], &[span(10, 30, 1)]),
        (
            &[span(0, 100, 1), span(10, 20, 2)],
            &[span(0, 9, 1), span(10, 20, 2), span(21, 100, 1)],
        ),
        (&[span(0, 9, 1), span(0, 9, 2)], &[span(0, 9, 2)]),
        (
            &[span(10, 20, 2), span(0, u32::MAX, 1), span(12, 14, 3)],
            &[
                span(0, 9, 1),
                span(10, 11, 2),
                span(12, 14, 3),
                span(15, 20, 2),
                span(21, u32::MAX, 1),
            ],
        ),
        (
            &[span(0, 15, 1), span(10, 20, 2)],
            &[span(0, 9, 1), span(10, 20, 2)],
        ),
    ];
    for (given, want) in cases {
        assert_eq!(flatten(given.to_vec()), want, "{given:?}");
    }
}

#[test]
fn an_empty_table_answers_nothing() {
    let table = Spans::default().compile();
    assert_eq!(table.get("1.2.3.4".parse().expect("a literal")), None);
    assert_eq!(table.get("2a00::1".parse().expect("a literal")), None);
    assert_eq!(table.intervals(), (0, 0));
}

#[test]
fn networks_finer_than_64_bits_keep_their_hosts_apart() {
    let mut spans = Spans::default();
    let host = |text: &str| text.parse::<IpAddr>().expect("a literal");
    assert!(spans.push(host("fd00::1"), host("fd00::1"), 7));
    assert!(
        !spans.push(host("fd00::1"), host("10.0.0.1"), 7),
        "mixed families"
    );
    assert!(
        !spans.push(host("10.0.0.2"), host("10.0.0.1"), 7),
        "backwards"
    );
    let table = spans.compile();
    assert_eq!(table.get(host("fd00::1")), Some(7));
    assert_eq!(table.get(host("fd00::2")), None);
}

/// What a table must answer, worked out the slow way.
fn by_hand(spans: &[Span<u32>], key: u32) -> Option<u32> {
    spans
        .iter()
        .filter(|s| s.start <= key && key <= s.end)
        .min_by_key(|s| s.end - s.start)
        .map(|s| s.value)
}

proptest! {
    #[test]
    fn a_lookup_agrees_with_the_longest_prefix(
        networks in prop::collection::vec((any::<u32>(), 0u32..=32), 0..40),
        probes in prop::collection::vec(any::<u32>(), 40),
    ) {
        let mut spans: Vec<Span<u32>> = Vec::new();
        for (value, (address, length)) in networks.into_iter().enumerate() {
            let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
            let start = address & !hosts;
            // Equal networks are settled by order, which another test covers.
            spans.retain(|other| (other.start, other.end) != (start, start | hosts));
            spans.push(span(start, start | hosts, value as u32));
        }
        let table = Table::new(&flatten(spans.clone()));
        let edges = spans.iter().flat_map(|s| [s.start, s.end, s.start.wrapping_sub(1), s.end.wrapping_add(1)]);
        for key in edges.chain(probes) {
            prop_assert_eq!(table.get(key), by_hand(&spans, key), "{}", key);
        }
    }
}

proptest! {
    /// The prefix around a key holds its value everywhere, and the one a bit shorter does not, or would be all.
    #[test]
    fn the_prefix_of_a_key_is_the_widest_with_its_value(
        spans in proptest::collection::vec((any::<u32>(), 0_u32..1 << 28, 0_u32..3), 0..12),
        key in any::<u32>(),
    ) {
        let spans = spans.into_iter().map(|(start, size, value)| span(start, start.saturating_add(size), value));
        let flat = flatten(spans.collect());
        let table = Table::new(&flat);
        let interval = table.interval(key);
        prop_assert_eq!(interval.value, table.get(key));
        let length = u32::from(interval.prefix_len(key));
        let bounds = |length: u32| {
            let behind = u32::MAX.checked_shr(length).unwrap_or(0);
            (key & !behind, key | behind)
        };
        let is_inside = |(first, last): (u32, u32)| {
            interval.before.is_none_or(|before| before < first) && interval.after.is_none_or(|after| after > last)
        };
        prop_assert!(is_inside(bounds(length)));
        prop_assert!(length == 0 || !is_inside(bounds(length - 1)));
        let (first, last) = bounds(length);
        prop_assert_eq!(table.get(first), interval.value);
        prop_assert_eq!(table.get(last), interval.value);
    }
}
