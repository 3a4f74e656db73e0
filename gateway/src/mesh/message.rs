//! What two gateways tell each other in one exchange, both ways alike. Fields that a newer version adds
//! are passed over; what is of a wrong type is refused as a whole.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::own_record;
use super::record::Record;
use super::state::{Heard, MAX_INSTANCES};
use crate::gateway::Edge;
use crate::region::{MAX_REGIONS, RegionIndex};

/// Longest message that is read, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// One side's part of an exchange.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Message {
    /// The speaker's own record, and those of the other gateways of its region.
    #[serde(default)]
    pub(super) records: Vec<Said>,
    /// Regions that have not spoken to the speaker lately.
    #[serde(default)]
    pub(super) missing: Vec<String>,
    /// What the speaker has heard from regions that the other side misses.
    #[serde(default)]
    pub(super) relayed: Vec<Said>,
}

/// One gateway's word, and how old it is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Said {
    /// Time since the speaker has heard it, in milliseconds; 0 for its own. Clocks are never compared.
    #[serde(default)]
    pub(super) age_ms: u64,
    /// What was said.
    pub(super) record: Record,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message is longer than any gateway's.
    TooLarge,
    /// It is not a message: a wrong type, or no JSON.
    Malformed,
    /// A region speaks for another one.
    OtherRegion,
    /// The same gateway has already said something newer.
    Outdated,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::TooLarge,
        Self::Malformed,
        Self::OtherRegion,
        Self::Outdated,
    ];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::OtherRegion => "other_region",
            Self::Outdated => "outdated",
        }
    }
}

/// Our part, for someone who misses `missing`.
pub(super) fn ours(edge: &Edge, missing: &[String], now: Instant) -> Message {
    let own = edge.regions.own_index();
    let passed_on = |word: &Heard| Said {
        age_ms: u64::try_from(word.age(now).as_millis()).unwrap_or(u64::MAX),
        record: word.record.clone(),
    };
    let mut records = vec![Said {
        age_ms: 0,
        record: own_record(edge),
    }];
    let siblings = edge.state.instances(own);
    records.extend(siblings.iter().map(|word| passed_on(word)));
    let relayed = missing.iter().take(MAX_REGIONS).filter_map(|name| {
        let about = edge.regions.find(name).filter(|about| *about != own)?;
        // Only what a region has said to us itself: a word is passed on once.
        let heard = edge.state.heard(about).filter(|word| word.via.is_none())?;
        Some(passed_on(&heard))
    });
    let missed = edge
        .regions
        .peers()
        .filter(|(index, _)| edge.state.misses(*index, now));
    Message {
        records,
        relayed: relayed.collect(),
        missing: missed.map(|(_, region)| region.name.to_string()).collect(),
    }
}

/// Reads what region `from` has sent.
pub(super) fn parse(bytes: &[u8]) -> Result<Message, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Takes in what region `from` has said, as its certificate names it. Whether any of it was its own
/// word.
pub(super) fn take_in(edge: &Edge, from: RegionIndex, message: Message, now: Instant) -> bool {
    let own = edge.regions.own_index();
    let mut spoke = false;
    for Said { age_ms, record } in message.records.into_iter().take(MAX_INSTANCES + 1) {
        if record.region != edge.regions.of(from).name.as_str() {
            refuse(edge, from, Refusal::OtherRegion, &record.region);
            continue;
        }
        // Ourselves, back from a sibling or through a load balancer.
        if from == own && record.instance == edge.state.instance.id() {
            continue;
        }
        spoke = true;
        if age_ms == 0 {
            edge.learning.hear(from, &record);
        }
        let age = Duration::from_millis(age_ms);
        // What a sibling says of another is often older than what that one has said itself.
        if !edge.state.hear_aged(from, record.bounded(), age, now) && age_ms == 0 {
            refuse(edge, from, Refusal::Outdated, &"");
        }
    }
    for Said { age_ms, record } in message.relayed.into_iter().take(MAX_REGIONS) {
        let about = edge.regions.find(&record.region);
        // Who speaks for us, or for itself by way of others, is not needed.
        if let Some(about) = about.filter(|about| *about != own && *about != from) {
            let age = Duration::from_millis(age_ms);
            edge.state.hear_of(about, from, record.bounded(), age, now);
        }
    }
    spoke
}

/// Names a refusal in log and metric.
pub(super) fn refuse(
    edge: &Edge,
    from: RegionIndex,
    refusal: Refusal,
    detail: &dyn std::fmt::Display,
) {
    let region = &edge.regions.of(from).name;
    edge.metrics.mesh.refused(from, refusal);
    if refusal == Refusal::Outdated {
        tracing::debug!(%region, "an older record came after a newer one");
    } else {
        tracing::warn!(%region, reason = refusal.as_str(), %detail, "refused what a region has said");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Message, parse};

    #[test]
    fn a_newer_versions_fields_are_passed_over_and_wrong_types_are_named() {
        let record = r#"{"region":"ams3","draining":false,"shares":{}"#;
        let newer = format!(r#"{{"records":[{{"record":{record},"colour":"red"}}}}],"epoch":7}}"#);
        let message = parse(newer.as_bytes()).unwrap();
        assert_eq!(message.records[0].record.region, "ams3");
        for wrong in [
            format!(r#"{{"records":[{{"record":{record},"instance":"seven"}}}}]}}"#),
            format!(r#"{{"records":[{{"record":{record},"rtts":{{"nyc3":"near"}}}}}}]}}"#),
            r#"{"records":[{"record":{"region":7}}]}"#.to_owned(),
            r#"{"missing":"all"}"#.to_owned(),
        ] {
            let error = parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("invalid type"), "{error}");
        }
    }

    #[test]
    fn a_message_of_fourteen_regions_is_small() {
        let names = (0..14).map(|n| format!("reg{n}"));
        let record = super::Record {
            region: "reg0".into(),
            instance: u64::MAX,
            version: crate::mesh::Version {
                started: 1_764_000_000_000,
                count: 1_000_000,
            },
            shares: names.clone().map(|name| (name, 0.123_456)).collect(),
            rtts: names.map(|name| (name, 123.456_78)).collect(),
            ..super::Record::default()
        };
        let message = Message {
            records: vec![super::Said { age_ms: 0, record }],
            ..Message::default()
        };
        let length = serde_json::to_vec(&message).unwrap().len();
        println!("{length} bytes");
        assert!(length < 2048, "{length}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic_and_what_is_taken_is_bounded(
            text in r#"(\{|\}|\[|\]|"records"|"shares"|"rtts"|"region"|"relayed"|"age_ms"|:|,|-1e39|1e999|null|true|"x"|0\.5){0,40}"#,
            rtts in prop::collection::btree_map("[a-z]{1,4}", -1e9_f32..1e9, 0..40),
        ) {
            let _ = parse(text.as_bytes());
            let message = Message {
                records: vec![super::Said { age_ms: 0, record: super::Record { rtts: rtts.clone(), shares: rtts, ..Default::default() } }],
                ..Message::default()
            };
            let json = serde_json::to_vec(&message).unwrap();
            for said in parse(&json).unwrap().records {
                let record = said.record.bounded();
                prop_assert!(record.shares.values().all(|share| (0.0..=1.0).contains(share)));
                prop_assert!(record.rtts.values().all(|rtt| (0.0..=10_000.0).contains(rtt)));
                prop_assert!(record.shares.len() <= crate::region::MAX_REGIONS);
            }
        }
    }
}
