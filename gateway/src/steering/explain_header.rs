//! A decision as one response header, for whoever asks with a token: a list of RFC 9651, best region first.
//!
//! `sgp1;reason=measured;rtt=12.3;source=measured;correction=carry, ams3;reason=farther;rtt=170.2;source=model`

use std::fmt::Write as _;

use http::HeaderValue;

use super::{Correction, Decision};
use crate::region::RegionSet;

/// The value of `x-edge-explain`.
pub fn explain_header(
    regions: &RegionSet,
    decision: &Decision,
    correction: Correction,
) -> Option<HeaderValue> {
    let mut text = String::with_capacity(64 * decision.places.len());
    for (at, place) in decision.places.iter().enumerate() {
        let between = if at == 0 { "" } else { ", " };
        let name = &regions.of(place.region).name;
        let _ = write!(text, "{between}{name};reason={}", place.reason.as_str());
        if let Some(rtt) = place.rtt_ms {
            let _ = write!(text, ";rtt={rtt:.1}");
        }
        let _ = write!(text, ";source={}", place.source.as_str());
        if at == 0 {
            let _ = write!(text, ";correction={}", correction.as_str());
        }
    }
    HeaderValue::try_from(text).ok()
}
