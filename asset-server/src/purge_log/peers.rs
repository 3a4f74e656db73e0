//! Tells other instances of a purge directly, all at once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::Name;
use super::record::Record;
use crate::admin_client::AdminClient;
use crate::cache::purge::PurgeReport;
use crate::config;
use crate::origin::ConnectError;

/// How long a peer may take; the log reaches those that take longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A peer's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    #[serde(flatten)]
    pub(crate) name: Name,
    #[serde(flatten)]
    pub(crate) removed: PurgeReport,
}

/// Posts a body to a path and query of a region's gateway, and gives status and body of its answer, or why
/// there is none: how whoever embeds the asset server reaches other regions.
pub type PostToRegion = Arc<
    dyn Fn(&str, String, Bytes) -> BoxFuture<'static, Result<(StatusCode, Bytes), String>>
        + Send
        + Sync,
>;

/// The instances that can be told directly.
pub(super) struct Peers {
    list: Vec<config::Peer>,
    client: Option<AdminClient>,
    regions: OnceLock<(Vec<String>, PostToRegion)>,
}

/// One that is told.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// By its address, with the admin token.
    Peer(&'a config::Peer, &'a AdminClient),
    /// By its region's name, over the embedder's links.
    Region(&'a str, &'a PostToRegion),
}

/// What each peer has answered so far, in the order of the configuration.
pub(super) type Answers = Vec<Option<Result<Done, String>>>;

impl Peers {
    pub(super) fn new(config: &config::PurgeEverywhere) -> Result<Self, ConnectError> {
        let client = match config.peers.is_empty() {
            true => None,
            false => Some(AdminClient::new(config.token.as_ref()).map_err(ConnectError::Roots)?),
        };
        Ok(Self {
            list: config.peers.clone(),
            client,
            regions: OnceLock::new(),
        })
    }

    /// From now on these regions are told, too. Only the first call counts.
    pub(super) fn tell_regions(&self, regions: Vec<String>, post: PostToRegion) {
        let _ = self.regions.set((regions, post));
    }

    fn targets(&self) -> Vec<Target<'_>> {
        let client = self.client.as_ref();
        let peers = self.list.iter().zip(std::iter::repeat(client));
        let peers = peers.filter_map(|(peer, client)| Some(Target::Peer(peer, client?)));
        let regions = self.regions.get().into_iter().flat_map(|(regions, post)| {
            regions
                .iter()
                .map(move |region| Target::Region(region, post))
        });
        peers.chain(regions).collect()
    }

    /// Tells those that have not done it yet.
    pub(super) async fn tell(&self, record: &Record, answers: &mut Answers) {
        let targets = self.targets();
        let body = Bytes::from(serde_json::to_vec(&record.purges).unwrap_or_default());
        answers.resize_with(targets.len(), || None);
        let told = targets.iter().zip(answers).map(|(target, answer)| {
            let body = body.clone();
            async move {
                if !matches!(answer, Some(Ok(_))) {
                    *answer = Some(tell(*target, record, body).await);
                }
            }
        });
        join_all(told).await;
    }

    /// Region, address and reason of those that have not answered.
    pub(super) fn silent(&self, answers: &Answers) -> Vec<(String, String, String)> {
        let targets = self.targets();
        let with = targets.iter().zip(answers);
        with.filter_map(|(target, answer)| {
            let Some(Err(why)) = answer else {
                return None;
            };
            let (region, at) = match target {
                Target::Peer(peer, _) => (&*peer.region, &*peer.url),
                Target::Region(region, _) => (*region, "its gateway"),
            };
            Some((region.to_owned(), at.to_owned(), why.clone()))
        })
        .collect()
    }
}

async fn tell(target: Target<'_>, record: &Record, body: Bytes) -> Result<Done, String> {
    let query = format!("?local=true&id={}", record.id);
    let answered = match target {
        Target::Peer(peer, client) => {
            let url = format!("{}/api/v1/purge{query}", peer.url);
            let answered = client.post(&url, body.into(), TIMEOUT).await;
            answered.map_err(|error| error.to_string())
        }
        Target::Region(region, post) => {
            match tokio::time::timeout(TIMEOUT, post(region, query, body)).await {
                Ok(answered) => answered,
                Err(_) => Err("no answer in time".to_owned()),
            }
        }
    };
    match answered? {
        (StatusCode::OK, body) => serde_json::from_slice(&body)
            .map_err(|_| "it answered with something else than a report".to_owned()),
        (status, _) => Err(format!("it answered with status {}", status.as_u16())),
    }
}
