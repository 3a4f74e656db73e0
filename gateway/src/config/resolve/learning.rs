//! What is learnt, and what clients are told of it.

use std::path::Path;

use serving::config::Invalid;

use super::super::file::{LearningFile, SteeringFile};
use super::positive;
use crate::gateway::CorrectionConfig;
use crate::learning::LearningConfig;
use crate::steering::{Exploration, LearningPolicy};

/// Most that may be tried out: everyone who explores waits longer than he had to.
const MOST_EXPLORED: f32 = 0.1;
/// Memory for a table of this size is some 300 MB.
const MOST_PREFIXES: usize = 1_000_000;
/// The table's file in the state directory.
const FILE: &str = "rtt.csv";

pub(super) fn learning(
    file: LearningFile,
    state: Option<&Path>,
    directory: &Path,
) -> Result<LearningConfig, Invalid> {
    if !(1..=MOST_PREFIXES).contains(&file.prefixes) {
        return Err(Invalid::new(
            "prefixes",
            format!("must be between 1 and {MOST_PREFIXES}"),
        ));
    }
    super::at_least_one("min_samples", file.min_samples)?;
    if !(0.0..=MOST_EXPLORED).contains(&file.explore) {
        return Err(Invalid::new(
            "explore",
            format!("must be between 0 and {MOST_EXPLORED}"),
        ));
    }
    let state = state.map(|state| directory.join(state));
    Ok(LearningConfig {
        policy: LearningPolicy {
            prefixes: file.prefixes,
            min_samples: file.min_samples,
            fresh_for: positive("fresh_for", file.fresh_for)?,
        },
        exploration: Exploration {
            share: file.explore,
            margin_ms: file.explore_margin.get().as_secs_f32() * 1000.0,
        },
        file: state.map(|state| state.join(FILE)),
    })
}

pub(super) fn correction(
    file: &SteeringFile,
    directory: &Path,
) -> Result<CorrectionConfig, Invalid> {
    let token = file.explain.token.as_ref();
    let token = token.map(|token| token.load(directory)).transpose();
    Ok(CorrectionConfig {
        alt_svc: Some(file.alt_svc.get()).filter(|lifetime| !lifetime.is_zero()),
        explain_token: token.map_err(|error| Invalid::new("explain.token", error))?,
        explain_to_all: file.explain.anyone,
    })
}
