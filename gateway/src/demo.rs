//! The parts of the demo world: everything around the gateways that a real deployment would bring.

pub mod s3_store;

pub mod samples;

pub mod compute;

pub mod whoami;

pub mod distance;

mod local_server;

#[cfg(test)]
mod test_client;
