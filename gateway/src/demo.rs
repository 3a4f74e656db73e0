//! The whole system on one machine: three regions, each a gateway process of its own, and around them
//! what a real deployment would bring: an S3 store, a compute cluster, and distance.

pub mod s3_store;

pub mod samples;

pub mod compute;

pub mod whoami;

pub mod distance;

mod certificate;

mod configuration;

mod local_server;

mod port;

mod ready;

mod region_process;

mod world;

pub use self::ready::{CLIENTS, Dns, Ready, ReadyRegion, S3, Urls};
pub use self::region_process::RegionProcess;
pub use self::world::{Options, StartError, World};

#[cfg(test)]
mod test_client;
