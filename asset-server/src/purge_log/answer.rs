//! Who has done a purge: what direct answers and the log say, made into one list. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::PurgeId;
use crate::cache::purge::PurgeReport;

/// One instance of the asset server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Its region.
    pub region: String,
    /// Which of the region's instances it is.
    pub instance: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.instance)
    }
}

/// The state of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeAnswer {
    /// Its id; `GET /api/v1/purge/<id>` tells its state later.
    pub id: PurgeId,
    /// Whether everybody known has done it, and it is in the log where there is one.
    pub complete: bool,
    /// Why it could not be put into the log: what is away now will not hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_error: Option<String>,
    /// Regions, by whether all their instances have done it.
    pub regions: Regions,
    /// Every instance that is known.
    pub instances: Vec<Instance>,
}

/// Regions by whether all their known instances have done a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regions {
    /// All have.
    pub done: Vec<String>,
    /// Some have not.
    pub pending: Vec<String>,
}

/// One instance and whether it has done a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Which one. Of a peer that never answered only the address is known.
    #[serde(flatten)]
    pub name: Name,
    /// Whether it has.
    pub done: bool,
    /// What it removed, if it said so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<PurgeReport>,
    /// Why not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is known of a purge, by where it is known from.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Instances that answered directly, this one included.
    pub(super) answered: BTreeMap<Name, Option<PurgeReport>>,
    /// Peers that have not: region, address, and why.
    pub(super) silent: Vec<(String, String, String)>,
    /// Instances with a report beside the log: whether they have done it, and how many seconds ago
    /// they were last seen.
    pub(super) reported: BTreeMap<Name, (bool, u64)>,
    pub(super) log_error: Option<String>,
}

impl Known {
    pub(super) fn answer(self, id: PurgeId) -> PurgeAnswer {
        let mut instances: BTreeMap<Name, Instance> = BTreeMap::new();
        for (name, (done, seen)) in self.reported {
            let why = (!done).then(|| format!("last seen {seen} s ago"));
            let instance = Instance {
                name: name.clone(),
                done,
                removed: None,
                why,
            };
            instances.insert(name, instance);
        }
        for (name, removed) in self.answered {
            let instance = Instance {
                name: name.clone(),
                done: true,
                removed,
                why: None,
            };
            instances.insert(name, instance);
        }
        // Who does not answer may be one that the log knows by name: then it is there already.
        for (region, address, why) in self.silent {
            let known: Vec<_> = instances
                .values_mut()
                .filter(|instance| instance.name.region == region && !is_address(instance))
                .collect();
            let accounted_for = known.iter().any(|instance| instance.removed.is_none());
            if !accounted_for {
                let name = Name {
                    region,
                    instance: address,
                };
                let instance = Instance {
                    name: name.clone(),
                    done: false,
                    removed: None,
                    why: Some(why),
                };
                instances.insert(name, instance);
            }
        }
        let instances: Vec<Instance> = instances.into_values().collect();
        let regions = |done: bool| -> BTreeSet<&str> {
            let with = instances.iter().filter(|instance| instance.done == done);
            with.map(|instance| instance.name.region.as_str()).collect()
        };
        let (begun, pending) = (regions(true), regions(false));
        let done = begun.difference(&pending).copied();
        PurgeAnswer {
            id,
            complete: pending.is_empty() && self.log_error.is_none(),
            log_error: self.log_error,
            regions: Regions {
                done: done.map(str::to_owned).collect(),
                pending: pending.iter().map(|region| (*region).to_owned()).collect(),
            },
            instances,
        }
    }
}

fn is_address(instance: &Instance) -> bool {
    instance.name.instance.contains("://")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn name(region: &str, instance: &str) -> Name {
        Name {
            region: region.into(),
            instance: instance.into(),
        }
    }

    fn answer(known: Known) -> PurgeAnswer {
        known.answer(PurgeId::new(UNIX_EPOCH, 1))
    }

    #[test]
    fn a_region_is_done_when_all_its_instances_are() {
        let answer = answer(Known {
            answered: [(name("ams3", "a"), Some(PurgeReport::default()))].into(),
            reported: [
                (name("ams3", "a"), (false, 3)),
                (name("nyc3", "a"), (true, 3)),
                (name("nyc3", "b"), (false, 90)),
            ]
            .into(),
            ..Known::default()
        });
        assert_eq!(answer.regions.done, ["ams3"]);
        assert_eq!(answer.regions.pending, ["nyc3"]);
        assert!(!answer.complete);
        let late = answer.instances.iter().find(|instance| !instance.done);
        assert_eq!(
            late.and_then(|late| late.why.clone()),
            Some("last seen 90 s ago".into())
        );
    }

    #[test]
    fn a_peer_that_never_answered_is_named_by_its_address_unless_the_log_knows_it() {
        let silent = || {
            vec![(
                "sgp1".to_owned(),
                "http://10.0.0.1:9090".to_owned(),
                "no answer".to_owned(),
            )]
        };
        let known = |reported| Known {
            silent: silent(),
            reported,
            ..Known::default()
        };
        let unknown = answer(known(BTreeMap::new()));
        assert_eq!(unknown.instances[0].name.instance, "http://10.0.0.1:9090");
        assert!(!unknown.complete);
        for done in [true, false] {
            let by_log = answer(known([(name("sgp1", "a"), (done, 1))].into()));
            assert_eq!((by_log.instances.len(), by_log.complete), (1, done));
        }
    }

    #[test]
    fn a_purge_that_is_not_in_the_log_is_not_complete() {
        let known = Known {
            answered: [(name("ams3", "a"), None)].into(),
            log_error: Some("away".into()),
            ..Known::default()
        };
        assert!(!answer(known).complete);
    }
}
