//! Orders of operators: "give this region no users", until undone. One register a region, of which the
//! last writer wins, so that every gateway can take an order and all agree in the end without a leader.
//!
//! Here are the orders and how two sets of them become one, pure. `store` keeps them over a restart,
//! `drains` holds those in force. Not the drain of a process that stops, which is health.

mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::store::StoreError;
pub(super) use self::store::{load, save};

/// Longest reason and author, in bytes: every gateway tells every order to every other, each second.
pub const MAX_TEXT: usize = 200;

/// Counters above this are nobody's: a register must not be blocked for good.
const MAX_COUNTER: u64 = 1 << 53;

/// Which of two orders is the later: a Lamport clock, ties broken by who gave it (Lamport 1978).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderVersion {
    /// One more than that of the order it replaces.
    pub counter: u64,
    /// The region whose gateway took the order.
    pub region: String,
    /// Which of its gateways.
    pub instance: u64,
}

/// What was ordered for one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whether it gets no users; otherwise the order undoes an earlier one.
    pub drain: bool,
    /// Why, for people.
    pub reason: String,
    /// Who, for people; nothing is decided by it.
    pub author: String,
    /// When, in seconds since 1970 by the clock of the gateway that took it; for people.
    pub at: u64,
    /// Its place among the orders for the region.
    pub version: OrderVersion,
}

impl Order {
    /// Whether it can be kept and told: a peer may send anything.
    fn is_sound(&self) -> bool {
        self.reason.len() <= MAX_TEXT
            && self.author.len() <= MAX_TEXT
            && self.version.region.len() <= MAX_TEXT
            && self.version.counter <= MAX_COUNTER
    }
}

/// The last order for each region, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Orders(BTreeMap<String, Order>);

impl Orders {
    /// The last order for a region.
    pub fn of(&self, region: &str) -> Option<&Order> {
        self.0.get(region)
    }

    /// Whether a region is to get no users.
    pub fn drains(&self, region: &str) -> bool {
        self.of(region).is_some_and(|order| order.drain)
    }

    /// All of them, by region.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Order)> {
        self.0
            .iter()
            .map(|(region, order)| (region.as_str(), order))
    }

    /// Gives an order that replaces the one before. `order.version.counter` is set here.
    pub fn give(&mut self, region: &str, mut order: Order) -> Order {
        let before = self.of(region).map_or(0, |order| order.version.counter);
        order.version.counter = before.saturating_add(1);
        self.0.insert(region.to_owned(), order.clone());
        order
    }

    /// Takes over what is later in `other`, for regions that are `known`. Returns whether anything was.
    pub fn merge(&mut self, other: &Self, known: impl Fn(&str) -> bool) -> bool {
        let mut changed = false;
        for (region, order) in &other.0 {
            let before = self.of(region).map(|order| &order.version);
            if known(region) && order.is_sound() && before < Some(&order.version) {
                self.0.insert(region.clone(), order.clone());
                changed = true;
            }
        }
        changed
    }

    /// Whether the order for `region` here is this one or a later one.
    pub fn has_heard(&self, region: &str, version: &OrderVersion) -> bool {
        self.of(region)
            .is_some_and(|order| order.version >= *version)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_COUNTER, MAX_TEXT, Order, OrderVersion, Orders};

    fn order(drain: bool, by: &str) -> Order {
        Order {
            drain,
            reason: "work".into(),
            author: "ops".into(),
            at: 0,
            version: OrderVersion {
                counter: 0,
                region: by.into(),
                instance: 1,
            },
        }
    }

    fn merged(one: &Orders, two: &Orders) -> Orders {
        let mut merged = one.clone();
        merged.merge(two, |_| true);
        merged
    }

    #[test]
    fn the_last_order_counts_wherever_it_was_given() {
        let mut ams = Orders::default();
        ams.give("sgp1", order(true, "ams3"));
        let mut nyc = merged(&Orders::default(), &ams);
        assert!(nyc.drains("sgp1"));
        let undone = nyc.give("sgp1", order(false, "nyc3"));
        assert!(!ams.has_heard("sgp1", &undone.version));
        assert!(ams.merge(&nyc, |_| true));
        assert!(!ams.drains("sgp1") && ams.has_heard("sgp1", &undone.version));
        assert!(!ams.merge(&nyc, |_| true), "nothing is new");
    }

    #[test]
    fn orders_that_no_gateway_gives_are_not_taken_over() {
        let long = "x".repeat(MAX_TEXT + 1);
        let mut bad = Orders::default();
        let mut hostile = |region: &str, change: &dyn Fn(&mut Order)| {
            let mut order = order(true, "ams3");
            order.version.counter = 1;
            change(&mut order);
            bad.0.insert(region.into(), order);
        };
        hostile("nyc1", &|order| order.reason = long.clone());
        hostile("nyc2", &|order| order.author = long.clone());
        hostile("nyc3", &|order| order.version.counter = MAX_COUNTER + 1);
        hostile("moon", &|_| ());
        let mut orders = Orders::default();
        assert!(!orders.merge(&bad, |region| region != "moon"));
        assert_eq!(orders, Orders::default());
    }

    fn orders() -> impl Strategy<Value = Orders> {
        let one = ("[ab]", any::<bool>(), 0_u64..4, "[xy]", 0_u64..2).prop_map(
            |(region, drain, counter, by, instance)| {
                let mut order = order(drain, &by);
                (order.version.counter, order.version.instance) = (counter, instance);
                // One version is given once, so what it says follows from it.
                order.drain = (counter + instance) % 2 == 0;
                (region, order)
            },
        );
        proptest::collection::btree_map("[ab]", one, 0..3)
            .prop_map(|orders| Orders(orders.into_values().collect()))
    }

    proptest! {
        #[test]
        fn all_gateways_agree_in_whatever_order_they_hear(
            one in orders(), two in orders(), three in orders()
        ) {
            prop_assert_eq!(merged(&one, &two), merged(&two, &one));
            prop_assert_eq!(merged(&merged(&one, &two), &three), merged(&one, &merged(&two, &three)));
            prop_assert_eq!(merged(&one, &one), one);
        }
    }
}
