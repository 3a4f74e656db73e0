//! Whole-system tests: real processes, a real S3 protocol store, clients placed by country.

mod assets;

mod bad_input;

mod certificates;

mod compute;

mod crash;

mod demo_command;

mod dns;

mod drain;

mod failover;

mod health;

mod learning;

mod listeners;

mod mesh;

mod operator_drain;

mod purge;

mod reload;

mod remote_assets;

mod residency;

mod routes;

mod spill;

mod steering;

mod upstreams;
