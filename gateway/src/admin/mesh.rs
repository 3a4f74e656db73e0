//! `/api/v1/mesh`: the links to the other regions, what they have said, and the way to each.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::gateway::Edge;
use crate::mesh::{Heard, Path, Reach};
use crate::region::{Region, RegionIndex};

#[derive(Serialize)]
struct View {
    /// This gateway among those of its region.
    instance: String,
    region: String,
    regions: Vec<RegionLink>,
}

#[derive(Serialize)]
struct RegionLink {
    name: String,
    own: bool,
    /// Our own link: `up`, `down`, `unknown`.
    link: &'static str,
    /// Whether both ends show certificates.
    mutual: bool,
    /// Smoothed round trip in milliseconds.
    rtt_ms: Option<f64>,
    /// `direct`, the third region that carries for us, or nothing.
    path: Option<String>,
    /// Why the link does not answer.
    trouble: Option<String>,
    /// What its gateways have said last.
    gateways: Vec<GatewayView>,
}

#[derive(Serialize)]
struct GatewayView {
    instance: String,
    count: u64,
    age_s: f64,
    /// The region that passed it on.
    via: Option<String>,
    draining: bool,
    rtts: std::collections::BTreeMap<String, f32>,
}

pub(super) async fn view(State(edge): State<Arc<Edge>>) -> Response {
    let now = Instant::now();
    let name = |index: RegionIndex| edge.regions.of(index).name.to_string();
    let gateway = |word: &Arc<Heard>| GatewayView {
        instance: format!("{:016x}", word.record.instance),
        count: word.record.version.count,
        age_s: word.age(now).as_secs_f64(),
        via: word.via.map(name),
        draining: word.record.draining,
        rtts: word.record.rtts.clone(),
    };
    let region = |(index, region): (RegionIndex, &Region)| {
        let link = edge.mesh.of(index);
        let own = index == edge.regions.own_index();
        let reach = link.quality().reach(now);
        RegionLink {
            name: region.name.to_string(),
            own,
            link: match reach {
                Reach::Up(_) => "up",
                Reach::Down => "down",
                Reach::Unknown => "unknown",
            },
            mutual: link.mutual,
            rtt_ms: link.quality().rtt().map(|rtt| rtt.as_secs_f64() * 1000.0),
            path: edge
                .mesh
                .path(index)
                .filter(|_| !own)
                .map(|path| match path {
                    Path::Direct => "direct".to_owned(),
                    Path::Via(via) => name(via),
                }),
            trouble: link.trouble().map(|reason| reason.to_string()),
            gateways: edge.state.instances(index).iter().map(gateway).collect(),
        }
    };
    let view = View {
        instance: format!("{:016x}", edge.state.instance.id()),
        region: name(edge.regions.own_index()),
        regions: edge.regions.iter().map(region).collect(),
    };
    Json(view).into_response()
}
