//! One region's HTTP cache in front of object storage, as a tower `Service`.
//!
//! A request meets the modules in this order:
//!
//! 1. [`AssetServer`] is asked; `request_path` has the whole path in one file.
//! 2. [`cache::key`] makes the path a key or refuses it; `mount` finds the origin behind it.
//!    [`signed_url`] says who may read from a private one, [`site`] what stands for a path in a site.
//! 3. [`cache::memory`] has the hot objects; [`cache::freshness`] says whether one may be used.
//! 4. On a miss, [`cache::coalesce`] gives all who wait one [`cache::fill`]; its task looks on
//!    [`cache::disk`] and asks [`origin`].
//! 5. [`respond`] makes a response of what was found: preconditions, ranges, headers, body.
//!
//! Beside that path are the operator's tools: [`store`] writes to object stores, [`archive`] moves old
//! objects to storage of one's own, [`warm`] fills caches ahead of time.
//!
//! Decisions are pure functions over values and a moment; the code beside them only fetches their
//! inputs and acts on them.

pub mod config;

pub mod serve;

mod server;

mod request_path;

mod delivery;
mod hop;

mod mount;

pub mod signed_url;

pub mod site;

pub mod cache;

pub mod origin;

mod s3_client;

pub mod respond;

pub mod store;

pub mod archive;

pub mod warm;

pub mod pace;
pub mod purge_log;

pub mod s3_events;

pub mod admin_client;

mod error;

mod admin;

mod metrics;

pub use cache::purge::{Purge, PurgeReport};
pub use config::{Config, ConfigFile, Standalone};
pub use delivery::ClientAddress;
pub use error::Error;
pub use origin::{OriginStatus, RequestBody};
pub use purge_log::PostToRegion;
pub use request_path::write::WriteError;
pub use respond::body::{AssetBody, AssetBodyError};
pub use server::{AssetServer, Responding, StartError, request_body};
