//! What both servers need in order to serve, written once: how a configuration file is read, how
//! connections are accepted, how a process drains, what its private listener answers, how it logs.
//!
//! Nothing here knows about assets, regions or routes.

// In the order a starting process meets them.
pub mod config;

pub mod units;

pub mod secret;

pub mod telemetry;

pub mod watch;

pub mod listener;

pub mod drain;

pub mod admin;

pub mod problem;
