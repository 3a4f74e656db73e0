//! Whole-system tests: real processes, a real S3 protocol store, clients placed by country.

mod assets;

mod bad_input;

mod certificates;

mod compute;

mod crash;

mod demo_command;

mod drain;

mod failover;

mod listeners;

mod purge;
mod reload;

mod remote_assets;

mod routes;

mod steering;

mod upstreams;
