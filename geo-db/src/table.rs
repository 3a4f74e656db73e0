//! The compiled form of every data set: sorted intervals and an index on the top 16 bits.
//!
//! A tree of bits costs a dependent memory access per bit. Here a lookup is one index entry, a
//! handful of neighbouring starts, and the value.

use std::net::IpAddr;

/// An inclusive range of addresses and the number of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<K> {
    pub(crate) start: K,
    pub(crate) end: K,
    pub(crate) value: u32,
}

/// Addresses as unsigned integers of one width.
pub(crate) trait Key: Copy + Ord {
    /// The largest address.
    const MAX: Self;
    /// The top 16 bits, which select the slice of the table to search.
    fn bucket(self) -> usize;
    /// The next address, unless this is the largest.
    fn next(self) -> Option<Self>;
    /// The address before, unless this is 0.
    fn previous(self) -> Option<Self>;
    /// How many bits from the top are the same in both, the width less one at most.
    fn common_bits(self, other: Self) -> u8;
}

macro_rules! key {
    ($int:ty) => {
        impl Key for $int {
            const MAX: Self = <$int>::MAX;
            fn bucket(self) -> usize {
                (self >> (<$int>::BITS - 16)) as usize
            }
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn common_bits(self, other: Self) -> u8 {
                (self ^ other).leading_zeros().min(<$int>::BITS - 1) as u8
            }
        }
    };
}
key!(u32);
key!(u64);
key!(u128);

/// The neighbourhood of a key in which the answer is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval<K> {
    /// The last key below that belongs to another interval; `None` at the bottom of the address space.
    pub(crate) before: Option<K>,
    /// The first key above that belongs to another interval; `None` at the top.
    pub(crate) after: Option<K>,
    /// What the interval holds.
    pub(crate) value: Option<u32>,
}

impl<K: Key> Interval<K> {
    /// Length of the shortest prefix of `key` that lies in the interval as a whole.
    fn prefix_len(&self, key: K) -> u8 {
        // A prefix holds another address if that agrees in so many bits; it must not hold the neighbours.
        let agree = |other: K| key.common_bits(other) + 1;
        let below = self.before.map_or(0, agree);
        below.max(self.after.map_or(0, agree))
    }
}

/// Value number of a gap between spans.
const NOTHING: u32 = u32::MAX;

/// Sorted, gapless intervals: each holds from its start to the start of the next.
#[derive(Debug)]
pub(crate) struct Table<K> {
    entries: Vec<(K, u32)>,
    /// For each value of the top 16 bits, the first entry that starts there or later.
    index: Vec<u32>,
}

impl<K: Key> Table<K> {
    /// Compiles spans that are sorted and do not overlap, as [`flatten`] returns them.
    pub(crate) fn new(spans: &[Span<K>]) -> Self {
        let mut entries: Vec<(K, u32)> = Vec::with_capacity(spans.len() + 1);
        let mut free = None;
        for span in spans {
            if let Some(gap) = free.filter(|&free| free < span.start) {
                entries.push((gap, NOTHING));
            }
            entries.push((span.start, span.value));
            free = span.end.next();
        }
        entries.extend(free.map(|free| (free, NOTHING)));
        entries.shrink_to_fit();
        let index = index_of(&entries);
        Self { entries, index }
    }

    /// Value number of the interval that holds `key`.
    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<u32> {
        let bucket = key.bucket();
        let from = *self.index.get(bucket)? as usize;
        let to = *self.index.get(bucket + 1)? as usize;
        let starts = self.entries.get(from..to)?;
        let after = from + starts.partition_point(|&(start, _)| start <= key);
        let (_, value) = *self.entries.get(after.checked_sub(1)?)?;
        (value != NOTHING).then_some(value)
    }

    /// Value number for `key`, and the first and last key around it with the same one. A gap has bounds, too.
    pub(crate) fn interval(&self, key: K) -> Interval<K> {
        let after = match self.index.get(key.bucket()..key.bucket() + 2) {
            Some(&[from, to]) => {
                let starts = self
                    .entries
                    .get(from as usize..to as usize)
                    .unwrap_or_default();
                from as usize + starts.partition_point(|&(start, _)| start <= key)
            }
            _ => 0,
        };
        let holds = after.checked_sub(1).and_then(|at| self.entries.get(at));
        Interval {
            before: holds.and_then(|(start, _)| start.previous()),
            after: self.entries.get(after).map(|(start, _)| *start),
            value: holds
                .map(|(_, value)| *value)
                .filter(|value| *value != NOTHING),
        }
    }

    /// Number of intervals, gaps left out.
    pub(crate) fn intervals(&self) -> usize {
        self.entries
            .iter()
            .filter(|&&(_, value)| value != NOTHING)
            .count()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.entries.as_slice()) + size_of_val(self.index.as_slice())
    }
}

/// An empty table has an empty index, and so answers nothing at the first step.
fn index_of<K: Key>(entries: &[(K, u32)]) -> Vec<u32> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut index = Vec::with_capacity(K::MAX.bucket() + 2);
    for (number, (start, _)) in entries.iter().enumerate() {
        while index.len() <= start.bucket() {
            index.push(number as u32);
        }
    }
    index.resize(K::MAX.bucket() + 2, entries.len() as u32);
    index
}

/// Both families in one: what a data source compiles to.
#[derive(Debug)]
pub(crate) struct AddressTable {
    v4: Table<u32>,
    v6: TableV6,
}

/// Public data ends at /64, where half the key is enough; company networks may be finer.
#[derive(Debug)]
enum TableV6 {
    Networks(Table<u64>),
    Hosts(Table<u128>),
}

/// Spans of both families, in any order, nested or not: what a reader collects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) v4: Vec<Span<u32>>,
    pub(crate) v6: Vec<Span<u128>>,
}

impl Spans {
    /// Adds an inclusive range. Mixed families and backward ranges are refused.
    #[must_use]
    pub(crate) fn push(&mut self, start: IpAddr, end: IpAddr, value: u32) -> bool {
        match (start, end) {
            (IpAddr::V4(start), IpAddr::V4(end)) if start <= end => {
                self.v4.push(Span {
                    start: start.to_bits(),
                    end: end.to_bits(),
                    value,
                });
                true
            }
            (IpAddr::V6(start), IpAddr::V6(end)) if start <= end => {
                self.v6.push(Span {
                    start: start.to_bits(),
                    end: end.to_bits(),
                    value,
                });
                true
            }
            _ => false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Resolves overlaps and compiles.
    pub(crate) fn compile(self) -> AddressTable {
        let v6 = flatten(self.v6);
        let networks: Option<Vec<Span<u64>>> = v6.iter().map(network_span).collect();
        let v6 = match networks {
            Some(networks) => TableV6::Networks(Table::new(&networks)),
            None => TableV6::Hosts(Table::new(&v6)),
        };
        AddressTable {
            v4: Table::new(&flatten(self.v4)),
            v6,
        }
    }
}

fn network_span(span: &Span<u128>) -> Option<Span<u64>> {
    let whole = span.start as u64 == 0 && span.end as u64 == u64::MAX;
    whole.then_some(Span {
        start: (span.start >> 64) as u64,
        end: (span.end >> 64) as u64,
        value: span.value,
    })
}

impl AddressTable {
    /// Value number for an address.
    #[inline]
    pub(crate) fn get(&self, ip: IpAddr) -> Option<u32> {
        match (ip, &self.v6) {
            (IpAddr::V4(ip), _) => self.v4.get(ip.to_bits()),
            (IpAddr::V6(ip), TableV6::Networks(table)) => table.get((ip.to_bits() >> 64) as u64),
            (IpAddr::V6(ip), TableV6::Hosts(table)) => table.get(ip.to_bits()),
        }
    }

    /// Value number for an address, and the length of the shortest prefix around it that has one answer.
    pub(crate) fn prefix(&self, ip: IpAddr) -> (Option<u32>, u8) {
        fn of<K: Key>(table: &Table<K>, key: K) -> (Option<u32>, u8) {
            let interval = table.interval(key);
            (interval.value, interval.prefix_len(key))
        }
        match (ip, &self.v6) {
            (IpAddr::V4(ip), _) => of(&self.v4, ip.to_bits()),
            (IpAddr::V6(ip), TableV6::Networks(table)) => of(table, (ip.to_bits() >> 64) as u64),
            (IpAddr::V6(ip), TableV6::Hosts(table)) => of(table, ip.to_bits()),
        }
    }

    /// Intervals of IPv4 and of IPv6.
    pub(crate) fn intervals(&self) -> (usize, usize) {
        let v6 = match &self.v6 {
            TableV6::Networks(table) => table.intervals(),
            TableV6::Hosts(table) => table.intervals(),
        };
        (self.v4.intervals(), v6)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let v6 = match &self.v6 {
            TableV6::Networks(table) => table.bytes(),
            TableV6::Hosts(table) => table.bytes(),
        };
        self.v4.bytes() + v6
    }
}

/// Sorts spans and cuts overlaps, so that each address belongs to the most specific span that
/// holds it: of nested spans the inner one, of equal spans the one added last. Neighbours with
/// one value are merged.
pub(crate) fn flatten<K: Key>(mut spans: Vec<Span<K>>) -> Vec<Span<K>> {
    // Stable, so that equal spans keep the order of addition.
    spans.sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    let mut sweep = Sweep {
        flat: Vec::with_capacity(spans.len()),
        open: Vec::new(),
    };
    for span in spans {
        sweep.close_before(span.start);
        sweep.open.push(span);
    }
    while let Some(top) = sweep.open.pop() {
        sweep.write(top);
    }
    sweep.flat
}

/// A walk up the address space. `open` holds the spans that reach past the present position, the
/// most specific last; what lies before the position is written.
struct Sweep<K> {
    flat: Vec<Span<K>>,
    open: Vec<Span<K>>,
}

impl<K: Key> Sweep<K> {
    /// Writes everything open that lies before `position`.
    fn close_before(&mut self, position: K) {
        while let Some(top) = self.open.last().copied() {
            if top.end < position {
                self.open.pop();
                self.write(top);
                continue;
            }
            if let Some(end) = position.previous() {
                self.write(Span { end, ..top });
            }
            return;
        }
    }

    /// Appends the part of `span` that nothing more specific has claimed.
    fn write(&mut self, mut span: Span<K>) {
        if let Some(last) = self.flat.last() {
            let Some(free) = last.end.next() else { return };
            span.start = span.start.max(free);
        }
        if span.start > span.end {
            return;
        }
        match self.flat.last_mut() {
            Some(last) if last.value == span.value && last.end.next() == Some(span.start) => {
                last.end = span.end;
            }
            _ => self.flat.push(span),
        }
    }
}

#[cfg(test)]
mod tests;
