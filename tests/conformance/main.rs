//! The conformance table: what a shared HTTP cache must, should and must not do, as data.
//!
//! Each `*.yaml` file beside this one is a family of rules. A case names its clause (`RFC 9111 4.2.1`)
//! and has steps: a request, what the origin answers if it is asked, and what must be true afterwards.
//! [`case`] has the format. One real `asset-server` process with an HTTP mount at `/` stands between
//! this test and a scripted origin; all cases run at once, each under a path of its own, first over
//! plain HTTP/1.1 and then over TLS and HTTP/2. The cases in `alone`, which restart the process or fill its
//! cache, run one after the other with a small one of their own.
//!
//! Time is told by `Age` and `Date` rather than waited for. `CONFORMANCE=text` in the environment runs
//! only the cases whose file, name or clause has that text.

#![allow(clippy::panic, reason = "in a test a panic is the report")]

mod case;

mod headings;

mod origin;

mod proxy;

mod client;

mod run;

mod matcher;

mod expectation;

mod cache_status;

mod report;

use std::time::Instant;

use case::Family;
use client::Protocol;
use origin::Origin;
use proxy::Proxy;

/// Cases that are to be there at least.
const CASES: usize = 540;

/// Bytes of each tier.
const SIZE: &str = "64MiB";

/// The same for the cases that are alone: so few that something is evicted.
const SMALL: &str = "1MiB";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_table_holds() {
    hold(case::load(""), run::AT_ONCE, SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_that_is_alone_holds() {
    hold(case::load("alone"), 1, SMALL).await;
}

/// Runs cases over each protocol, and tells all that fail.
async fn hold(families: &'static [Family], at_once: usize, size: &str) {
    let only = std::env::var("CONFORMANCE").unwrap_or_default();
    let origin = Origin::start().await;
    let proxy = Proxy::start(origin.address, size).await;
    let mut reports = Vec::new();
    for protocol in [Protocol::Http1, Protocol::TlsHttp2] {
        let started = Instant::now();
        let outcomes = run::all(families, &only, &origin, &proxy, protocol, at_once).await;
        println!("{}", report::table(protocol, &outcomes, started.elapsed()));
        reports.extend(outcomes);
    }
    let failures = report::failures(&reports);
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn every_heading_has_a_case() {
    let families = case::load("");
    let clauses: Vec<&str> = families
        .iter()
        .flat_map(|family| &family.cases)
        .flat_map(|case| case.clauses())
        .collect();
    let missing: Vec<String> = headings::with_requirements()
        .filter(|heading| !clauses.contains(&heading.as_str()))
        .collect();
    assert!(missing.is_empty(), "no case names {missing:?}");
}

#[test]
fn the_table_is_large_and_its_names_are_unique() {
    let cases: Vec<_> = ["", "alone"]
        .iter()
        .flat_map(|directory| case::load(directory))
        .flat_map(|family| &family.cases)
        .collect();
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        assert!(pair[0] != pair[1], "two cases have the name {:?}", pair[0]);
    }
    for case in &cases {
        for clause in case.clauses() {
            assert!(
                headings::is_known(clause),
                "{:?} names {clause:?}, which is no clause of a specification of the table",
                case.name
            );
        }
    }
}
