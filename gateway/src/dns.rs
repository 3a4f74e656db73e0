//! Authoritative DNS: the names of the edge, answered from the same ranking as HTTP.
//!
//! A datagram meets the modules in this order: `serve` receives it, `query` reads it, `answer` finds what to
//! say in the `zone` and, for steered names, asks `steered` for the best regions of the client's network;
//! `client_subnet` says for whom the answer holds; `cookie` and `rate_limit` keep forged floods from being
//! answered. Everything but `serve` is a function of values and a time. It resolves nothing for anybody, keeps
//! nothing on disk, and knows no DNSSEC and no zone transfers.

mod answer;

mod host;

mod client_subnet;

mod cookie;

mod metrics;

mod query;

mod rate_limit;

mod record_data;

mod serve;

mod serial;

mod steered;

mod writer;

mod zone;

pub use self::answer::{Authority, Rcode, Response, Transport, answer};
pub use self::client_subnet::ClientSubnet;
pub use self::cookie::CookieSecret;
pub use self::metrics::DnsMetrics;
pub use self::query::{Query, Rejected};
pub use self::rate_limit::{RateLimit, RateLimiter, Verdict};
pub use self::record_data::{RecordError, record_data};
pub use self::serial::next_serial;
pub use self::serve::{DnsServer, ServeError, Serving};
pub use self::steered::{Steered, steered};
pub use self::writer::{Full, Writer};
pub use self::zone::{
    Found, NameServer, Node, RecordSet, RegionAddresses, Soa, SteeredName, Zone, ZoneError,
    ZoneRecord, Zones, wire_name,
};
