//! The edge: one process is one region's way in.
//!
//! Modules stand in the order in which a request meets them; `request_path` is the whole path in one
//! function. What a process needs before its first request comes first.

pub mod config;

pub mod gateway;

pub mod certificates;

pub mod dns;

pub mod request_path;

pub mod request_id;

pub mod client_addr;

pub mod access_log;

pub mod rescue;

pub mod admission;

pub mod route;

pub mod region;

pub mod mesh;

pub mod steering;

pub mod learning;

pub mod upstream;

pub mod forward;

pub mod error;

pub mod admin;

pub mod metrics;

#[cfg(feature = "demo")]
pub mod demo;
