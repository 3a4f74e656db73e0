//! What regions tell each other: one record per gateway, exchanged with every check, kept with its age.
//! Decisions that need another region's word read it here; nothing on the data path waits for it.

mod record;

mod state;

pub use self::record::{Instance, Record, Version};
pub use self::state::{Heard, State};
