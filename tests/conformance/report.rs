//! What a run came to, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::client::Protocol;
use crate::run::Outcome;

/// Passed and failed cases by family.
pub(crate) fn table(protocol: Protocol, outcomes: &[Outcome], took: Duration) -> String {
    let mut families: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for outcome in outcomes {
        let (passed, failed) = families.entry(&outcome.family).or_default();
        match outcome.failure {
            None => *passed += 1,
            Some(_) => *failed += 1,
        }
    }
    let mut text = format!(
        "{:<24} {:>7} {:>7}\n",
        protocol.as_str(),
        "passed",
        "failed"
    );
    let mut sum = (0, 0);
    for (family, (passed, failed)) in families {
        let _ = writeln!(text, "{family:<24} {passed:>7} {failed:>7}");
        sum = (sum.0 + passed, sum.1 + failed);
    }
    let _ = writeln!(
        text,
        "{:<24} {:>7} {:>7}   {:.1} s",
        "all",
        sum.0,
        sum.1,
        took.as_secs_f64()
    );
    text
}

/// Every failed case with its clause, its step and the differences. Empty when there is none.
pub(crate) fn failures(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let failed = outcomes.iter().filter_map(|outcome| {
        let (step, differences) = outcome.failure.as_ref()?;
        Some((outcome, step, differences))
    });
    for (outcome, step, differences) in failed {
        let clauses: Vec<&str> = outcome.case.clauses().collect();
        let _ = writeln!(
            text,
            "{}.yaml: {} ({}; {}), step {step}:",
            outcome.family,
            outcome.case.name,
            clauses.join(", "),
            outcome.protocol.as_str()
        );
        for difference in differences {
            let _ = writeln!(text, "    {difference}");
        }
    }
    text
}
