//! One order of one certificate, from the account to the chain (RFC 8555 section 7).
//!
//! The challenges are spread to every region *before* the authority is told to look, since it may ask any of
//! them. What happens before and after, and who may order at all, is the keeper's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asset_server::store::Condition;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, CertificateIdentifier,
    ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::acme_client::AcmeClient;
use super::certificate::{self, CertificateError, Stored};
use super::challenges::Challenge;
use super::vault::{Vault, VaultError};
use super::{Acme, ChallengeKind, Shared};

/// How long the authority may take to look, and to sign.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authority refused.
    #[error("the certificate authority: {0}")]
    Acme(#[from] instant_acme::Error),
    /// It does not offer the challenge that is configured.
    #[error("the certificate authority offers no {0} challenge for {1}")]
    NoChallenge(&'static str, String),
    /// It looked, and did not find the answer.
    #[error("the certificate authority could not validate {name}: {reason}")]
    Validation {
        /// What it looked for.
        name: String,
        /// Its reason.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] VaultError),
    /// A certificate or request cannot be made, or what came is none.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Another region has taken the lease.
    #[error("the lease was lost")]
    LeaseLost,
}

impl OrderError {
    /// The outcome in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Acme(instant_acme::Error::Api(_)) if self.is_rate_limit() => "rate_limited",
            Self::Acme(instant_acme::Error::Api(_)) | Self::NoChallenge(..) => "refused",
            Self::Acme(_) => "unreachable",
            Self::Validation { .. } => "validation",
            Self::Store(_) => "store",
            Self::Certificate(_) => "unusable",
            Self::LeaseLost => "lease_lost",
        }
    }

    /// Whether the authority says that there were too many orders (RFC 8555 section 6.6).
    pub fn is_rate_limit(&self) -> bool {
        match self {
            Self::Acme(instant_acme::Error::Api(problem)) => {
                problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:rateLimited")
            }
            _ => false,
        }
    }
}

/// The account at this authority: the one in the store, or a new one. One for the fleet.
pub(super) async fn account(
    acme: &Acme,
    client: &AcmeClient,
    vault: &Vault,
) -> Result<Account, OrderError> {
    let name = format!("{}/account", acme.folder);
    let builder = || -> AccountBuilder { Account::builder_with_http(Box::new(client.clone())) };
    if let Some(found) = vault.get::<AccountCredentials>(&name).await? {
        if !found.current_key {
            vault.put(&name, &found.value, &Condition::Always).await?;
        }
        return Ok(builder().from_credentials(found.value).await?);
    }
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: acme.terms_of_service_agreed,
        only_return_existing: false,
    };
    let external = acme
        .external_account
        .as_ref()
        .map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
    let (account, credentials) = builder()
        .create(&new, acme.directory_url.clone(), external.as_ref())
        .await?;
    tracing::info!(
        account = account.id(),
        "made an account at the certificate authority"
    );
    match vault.put(&name, &credentials, &Condition::Absent).await {
        Ok(()) => Ok(account),
        // Another was faster; its account is the fleet's, and ours is never used.
        Err(error) if error.is_conflict() => match vault.get::<AccountCredentials>(&name).await? {
            Some(found) => Ok(builder().from_credentials(found.value).await?),
            None => Ok(account),
        },
        Err(error) => Err(error.into()),
    }
}

/// Orders a certificate for `name`. `replaces` is the one that it takes the place of (RFC 9773 section 5).
pub(super) async fn order(
    shared: &Arc<Shared>,
    name: &str,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Stored, OrderError> {
    let acme = &shared.acme;
    let account = account(acme, &shared.client, &shared.vault).await?;
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut new = NewOrder::new(&identifiers);
    if let Some(replaces) = replaces {
        new = new.replaces(replaces);
    }
    let mut order = account.new_order(&new).await?;
    let challenges = challenges(&mut order, acme.challenge).await?;
    if !challenges.is_empty() {
        shared
            .vault
            .put(
                &shared.challenge_object(name),
                &challenges,
                &Condition::Always,
            )
            .await?;
        shared.answer(name, &challenges, Instant::now());
        tokio::time::sleep(shared.spread_time()).await;
        ready(&mut order, acme.challenge).await?;
    }
    let patience = RetryPolicy::new().timeout(PATIENCE).backoff(1.5);
    match order.poll_ready(&patience).await.map_err(OrderError::from) {
        Ok(OrderStatus::Ready) => {}
        // Some authorities say why at the order, some at the challenge.
        Ok(_) => return Err(refused(&mut order, name, None).await),
        Err(error @ OrderError::Acme(instant_acme::Error::Api(_))) if !error.is_rate_limit() => {
            return Err(refused(&mut order, name, Some(error.to_string())).await);
        }
        Err(error) => return Err(error),
    }
    let (key, request) = certificate::request(name)?;
    order.finalize_csr(&request).await?;
    let chain = order.poll_certificate(&patience).await?;
    Ok(Stored {
        chain,
        key: key.serialize_pem(),
        ordered_by: shared.holder.clone(),
    })
}

/// What has still to be proven.
async fn challenges(order: &mut Order, kind: ChallengeKind) -> Result<Vec<Challenge>, OrderError> {
    let mut found = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = domain(authorization.identifier().identifier);
        let Some(challenge) = authorization.challenge(kind.acme()) else {
            return Err(OrderError::NoChallenge(kind.as_str(), domain));
        };
        let digest = challenge.key_authorization().digest();
        let digest = digest
            .as_ref()
            .try_into()
            .map_err(|_| instant_acme::Error::Crypto)?;
        found.push(Challenge { domain, digest });
    }
    Ok(found)
}

async fn ready(order: &mut Order, kind: ChallengeKind) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Valid
            && let Some(mut challenge) = authorization.challenge(kind.acme())
        {
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

/// Why an order is invalid; what stands at a challenge says more than what stands at the order.
async fn refused(order: &mut Order, name: &str, at_order: Option<String>) -> OrderError {
    let mut reason = at_order.unwrap_or_else(|| "it gives no reason".into());
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            break;
        };
        if let Some(error) = state.challenges.iter().find_map(|it| it.error.as_ref()) {
            reason = error.to_string();
        }
    }
    OrderError::Validation {
        name: name.to_owned(),
        reason,
    }
}

fn domain(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Dns(name) => name.clone(),
        other => format!("{other:?}"),
    }
}

impl ChallengeKind {
    fn acme(self) -> ChallengeType {
        match self {
            Self::Dns01 => ChallengeType::Dns01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}
