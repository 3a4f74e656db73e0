//! The asset server as a whole, against a real S3 protocol store, a directory, and an HTTP origin
//! that misbehaves on request.

mod support;
mod surrogate_keys;

mod archive;
mod coalescing;
mod coding;
mod delivery;
mod disk;
mod edge_writes;
mod failover;
mod freshness;
mod hostile_origins;
mod hostile_requests;
mod origin_care;
mod origins;
mod process;
mod purge_everywhere;
mod requests;
mod shield;
mod slices;
mod warm;
mod writes;
