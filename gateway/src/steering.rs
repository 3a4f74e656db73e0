//! Where a client should be answered: its location, what was measured of its network and the state of the
//! regions become a ranked list, each place with the reason for it. The same functions stand behind DNS,
//! HTTP, `explain` and the admin API.

mod client_group;

mod combine;

mod correction;

mod decision;

mod explain;

mod explain_header;

mod explore;

mod preference;

mod prefix;

mod rank;

mod rtt_table;

mod spill;

mod spread;

pub use self::client_group::ClientGroup;
pub use self::combine::{RttSource, Sources, combine, decide};
pub use self::correction::{Asked, Correction, Ways, correct, cost_ms};
pub use self::decision::{Decision, Place, Reason};
pub use self::explain::{ALL_UP, ExplainedPlace, Explanation, Learnt, explain};
pub use self::explain_header::explain_header;
pub use self::explore::{Exploration, Stage, explore, may_explore};
pub use self::preference::{Preference, Preferences};
pub use self::prefix::{NotAPrefix, Prefix};
pub use self::rank::{Standing, rank};
pub use self::rtt_table::{LearningPolicy, Measured, Measurement, RttDelta, RttTable, Snapshot};
pub use self::spill::{Balance, RegionLoad, Spill, SpillPolicy};
pub use self::spread::spread;

#[cfg(test)]
mod wan_tests;
