//! Where a client should be answered: its location and the state of the regions become a ranked list,
//! each place with the reason for it. The same function stands behind HTTP, `explain` and the admin API.

mod decision;

mod explain;

mod preference;

mod rank;

mod spill;

mod spread;

pub use self::decision::{Decision, Place, Reason};
pub use self::explain::{ALL_UP, ExplainedPlace, Explanation, explain};
pub use self::preference::{Preference, Preferences};
pub use self::rank::{Standing, rank};
pub use self::spill::{Balance, RegionLoad, Spill, SpillPolicy};
pub use self::spread::spread;
