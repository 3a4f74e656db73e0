//! Model and measurements → one expected round trip a region. Measured beats modelled; where only some
//! regions were measured, what they have in common corrects the model of the others.

use std::time::Duration;

use arrayvec::ArrayVec;
use geo_db::{Ranked, Ranking};

use super::{Decision, Measured, Reason, Standing, rank};
use crate::region::{MAX_REGIONS, RegionIndex};

/// Where an expected round trip comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RttSource {
    /// There is none.
    #[default]
    None,
    /// An override says where this client goes, whatever the time.
    Pinned,
    /// Connections of this prefix were measured there.
    Measured,
    /// The model of cables, corrected by what was measured elsewhere.
    Model,
}

impl RttSource {
    /// The word for `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pinned => "pinned",
            Self::Measured => "measured",
            Self::Model => "model",
        }
    }
}

/// What a measured prefix adds to a ranking, by region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sources {
    /// Where each time comes from.
    pub of: [RttSource; MAX_REGIONS],
    /// The model's own word in milliseconds, infinite where it has none: the least that a region that
    /// was not measured may turn out to be.
    pub model_ms: [f32; MAX_REGIONS],
}

/// Puts what was measured into a ranking of the model, and orders it anew.
///
/// The model knows cables, not the last mile or who peers with whom, so it is low, and comparing it with
/// a measurement would favour whatever was not measured. What a measured region exceeds its model by is
/// part last mile, which all regions share, and part its own detour. The least excess of all measured
/// regions is taken for the shared part and added to the model of the rest (down to half the model where
/// it is negative). A region that was measured alone thereby never loses against one that the model
/// already put behind it.
pub fn combine(ranking: &mut Ranking, measured: Option<&Measured>) -> Sources {
    let mut sources = Sources {
        of: [RttSource::None; MAX_REGIONS],
        model_ms: [f32::INFINITY; MAX_REGIONS],
    };
    for near in ranking.iter().filter(|near| near.index < MAX_REGIONS) {
        if let Some(rtt) = near.rtt {
            sources.model_ms[near.index] = rtt.as_secs_f32() * 1000.0;
            sources.of[near.index] = RttSource::Model;
        }
        if near.pinned {
            sources.of[near.index] = RttSource::Pinned;
        }
    }
    let Some(measured) = measured else {
        return sources;
    };
    let to = |near: &Ranked| {
        let index = u8::try_from(near.index).ok()?;
        measured.to(RegionIndex(index))
    };
    let excess = ranking
        .iter()
        .filter_map(|near| Some(to(near)? - sources.model_ms.get(near.index)?))
        .filter(|excess| excess.is_finite())
        .min_by(f32::total_cmp);
    let mut order: ArrayVec<(f32, Ranked), MAX_REGIONS> = ArrayVec::new();
    for near in ranking.iter().filter(|near| near.index < MAX_REGIONS) {
        let model = sources.model_ms[near.index];
        let millis = match to(near) {
            Some(millis) => {
                if !near.pinned {
                    sources.of[near.index] = RttSource::Measured;
                }
                millis
            }
            None => (model + excess.unwrap_or(0.0)).max(model / 2.0),
        };
        let near = Ranked {
            rtt: millis
                .is_finite()
                .then(|| Duration::from_micros((millis * 1000.0) as u64)),
            ..*near
        };
        order.push((millis, near));
    }
    // Stable: what is equally far, or unknown, stays in the order of the model.
    order.sort_by(|a, b| (!a.1.pinned).cmp(&!b.1.pinned).then(a.0.total_cmp(&b.0)));
    *ranking = order.into_iter().map(|(_, near)| near).collect();
    sources
}

/// Ranks the regions by model and measurements: the one function behind every decision.
pub fn decide(
    mut ranking: Ranking,
    measured: Option<&Measured>,
    standing: &[Standing],
    spread: f32,
    own: RegionIndex,
) -> (Decision, Sources) {
    let sources = combine(&mut ranking, measured);
    let mut decision = rank(&ranking, standing, spread, own);
    annotate(&mut decision, &sources);
    (decision, sources)
}

/// Writes into a decision where its times come from.
fn annotate(decision: &mut Decision, sources: &Sources) {
    for place in &mut decision.places {
        place.source = sources
            .of
            .get(place.region.get())
            .copied()
            .unwrap_or_default();
        if place.reason == Reason::Nearest && place.source == RttSource::Measured {
            place.reason = Reason::Measured;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use geo_db::{Ranked, Ranking};

    use super::{RttSource, combine};
    use crate::region::MAX_REGIONS;
    use crate::steering::Measured;

    fn ranking(model: &[(usize, Option<u64>, bool)]) -> Ranking {
        let ranked = |&(index, millis, pinned): &(usize, Option<u64>, bool)| Ranked {
            index,
            km: None,
            rtt: millis.map(Duration::from_millis),
            pinned,
        };
        model.iter().map(ranked).collect()
    }

    fn measured(known: &[(usize, f32)]) -> Measured {
        let mut row = [None; MAX_REGIONS];
        for (index, millis) in known {
            row[*index] = Some(*millis);
        }
        Measured::new(row)
    }

    #[test]
    fn measured_beats_modelled_and_pinned_beats_both() {
        let known = [
            (0, Some(10), false),
            (1, Some(50), false),
            (2, Some(90), false),
        ];
        let unknown = [(0, None, false), (1, None, false), (2, None, false)];
        let pinned = [
            (2, Some(90), true),
            (0, Some(10), false),
            (1, Some(50), false),
        ];
        for (case, model, learnt, expected) in [
            ("nothing measured", known, &[][..], [0, 1, 2]),
            (
                "all measured",
                known,
                &[(0, 80.0), (1, 60.0), (2, 40.0)],
                [2, 1, 0],
            ),
            (
                "the first alone: its excess is everybody's",
                known,
                &[(0, 200.0)],
                [0, 1, 2],
            ),
            (
                "the second was modelled too far",
                known,
                &[(1, 3.0)],
                [1, 0, 2],
            ),
            (
                "a detour at the first alone",
                known,
                &[(0, 200.0), (1, 60.0)],
                [1, 2, 0],
            ),
            (
                "measured comes before unknown",
                unknown,
                &[(2, 70.0)],
                [2, 0, 1],
            ),
            ("a pin stays", pinned, &[(0, 1.0)], [2, 0, 1]),
        ] {
            let mut ranking = ranking(&model);
            let row = measured(learnt);
            let sources = combine(&mut ranking, (!learnt.is_empty()).then_some(&row));
            let got: Vec<_> = ranking.iter().map(|near| near.index).collect();
            assert_eq!(got, expected, "{case}: {ranking:?}");
            for (index, _) in learnt {
                assert_eq!(sources.of[*index], RttSource::Measured, "{case}");
            }
        }
    }
}
