//! What regions tell each other and how they reach each other: one record a gateway, exchanged every
//! second over a link that both ends prove by certificate, kept with its age; and the way that carried
//! requests take. Decisions that need another region's word read [`State`]; nothing on the data path
//! waits for any of it. See decision 0014.

mod record;

mod own_record;

mod state;

pub mod authority;

pub mod identity;

mod keys;

mod path;

mod purge;

mod quality;

mod link;

mod message;

mod exchange;

mod siblings;

mod carry;

mod metrics;

pub use self::carry::{carry, observed, relay, speaks_against};
pub use self::exchange::{Answer, exchange};
pub(crate) use self::exchange::{PATH as EXCHANGE_PATH, answer};
pub use self::keys::{KeyFiles, Keys, KeysError};
pub use self::link::{Clients, Link, LinkTimeouts, Links};
pub use self::message::Refusal;
pub use self::metrics::{Carried, Metrics};
pub use self::own_record::own_record;
pub use self::path::{Path, Reach, choose};
pub(crate) use self::purge::{PATH as PURGE_PATH, answer_purge, telling as telling_of_purges};
pub use self::quality::Quality;
pub use self::record::{Instance, Record, Version};
pub(crate) use self::siblings::run as run_siblings;
pub use self::state::{Heard, MAX_INSTANCES, State};
