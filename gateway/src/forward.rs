//! Sends a request on and streams the response back: to an endpoint of an upstream, or to another
//! region.

mod body;

mod headers;

mod outgoing;

mod to_region;

mod to_upstream;

mod upgrade;

pub use self::body::{IdleBody, IdleTimeout, RequestBody, ResponseBody};
pub use self::headers::{CARRIED_HOPS, CARRIED_TO, Forwarded, RELAY_FAILED};
pub use self::outgoing::Outgoing;
pub use self::to_region::{Leg, to_region};
pub use self::to_upstream::to_upstream;
