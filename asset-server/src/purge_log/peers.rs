//! Tells other instances of a purge directly, all at once.

use std::time::Duration;

use futures_util::future::join_all;
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

/// The instances that can be told directly.
pub(super) struct Peers {
    list: Vec<config::Peer>,
    client: Option<AdminClient>,
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
        })
    }

    /// Tells those that have not done it yet.
    pub(super) async fn tell(&self, record: &Record, answers: &mut Answers) {
        let Some(client) = &self.client else { return };
        let body = serde_json::to_vec(&record.purges).unwrap_or_default();
        answers.resize_with(self.list.len(), || None);
        let told = self.list.iter().zip(answers).map(|(peer, answer)| {
            let body = body.clone();
            async move {
                if !matches!(answer, Some(Ok(_))) {
                    *answer = Some(tell(client, peer, record, body).await);
                }
            }
        });
        join_all(told).await;
    }

    /// Region, address and reason of those that have not answered.
    pub(super) fn silent(&self, answers: &Answers) -> Vec<(String, String, String)> {
        let with = self.list.iter().zip(answers);
        with.filter_map(|(peer, answer)| match answer {
            Some(Err(why)) => Some((peer.region.clone(), peer.url.clone(), why.clone())),
            _ => None,
        })
        .collect()
    }
}

async fn tell(
    client: &AdminClient,
    peer: &config::Peer,
    record: &Record,
    body: Vec<u8>,
) -> Result<Done, String> {
    let url = format!("{}/api/v1/purge?local=true&id={}", peer.url, record.id);
    match client.post(&url, body, TIMEOUT).await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body)
            .map_err(|_| "it answered with something else than a report".to_owned()),
        Ok((status, _)) => Err(format!("it answered with status {}", status.as_u16())),
        Err(error) => Err(error.to_string()),
    }
}
