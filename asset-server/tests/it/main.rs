//! The asset server as a whole, against a real S3 protocol store, a directory, and an HTTP origin
//! that misbehaves on request.

mod support;

mod coalescing;
mod delivery;
mod disk;
mod freshness;
mod origins;
mod process;
mod requests;
