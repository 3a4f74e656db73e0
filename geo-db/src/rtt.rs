//! Expected round-trip time from geography: a small graph of hubs and cables.
//!
//! Kilometres lie. Nairobi is nearer to Bangalore than to London, but its traffic goes through
//! the Red Sea to Europe; Vladivostok is in Russia, but its packets leave for Tokyo. So a path is
//! the way to a hub, the shortest way through the cables of `data/cables.csv`, and the way out at
//! the other end. Kinds of way differ in how far they stray from the great circle and in how much
//! equipment they cross; the numbers are per kind ([`Way`]), never per city, and
//! `docs/decisions/0003-geo-expected-rtt.md` tells how they were found.

mod network;
mod way;

pub(crate) use network::Network;
