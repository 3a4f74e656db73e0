//! Signed URLs: who may read a private asset, decided before anything that is cached is given.
//!
//! A URL carries what it permits (until when, which path or which tree, for which clients) and an
//! HMAC-SHA256 over just that, made with a key that the application and the edge share. The parameters
//! are no part of the cache key and never reach the origin ([`strip`]), so ten thousand links to one
//! object share one cached copy, and the origin needs no idea of them.
//!
//! ```text
//! /assets/team/model.onnx?edge-expires=1767225600&edge-key=2026a&edge-signature=…
//! ```
//!
//! Parameters are looked for in the query first. Only where the query has none, the cookie
//! `edge-signature` is read, whose value is the same text: a player or a web app that loads a whole tree
//! gets one cookie instead of a rewritten URL for every file.
//!
//! Not bound by a signature: the host (all regions share the keys, and a client may be sent from one to
//! another) and the rest of the query. Not here: what a client is told (`error`), where keys come from
//! (`config`), and the login of people (the gateway).

mod keys;
mod parameters;
mod permit;
mod response;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::SystemTime;

use http::header::COOKIE;
use http::{HeaderMap, Method};

pub use keys::{Keys, MIN_SECRET, SigningKey, UnusableKey};
pub use parameters::{COOKIE_NAME, strip};
pub use permit::{Permit, Scope, UnusablePath};
pub use response::{keep_private, remove_cookie};

use self::parameters::Signed;

/// Most cookies of our name that are looked at: a browser sends one for each path that they were set for.
const MAX_COOKIES: usize = 4;

/// What is asked for, by whom.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Method of the request. A signature permits to read.
    pub method: &'a Method,
    /// The path as the cache knows it: decoded once, without dot or empty segments.
    pub path: &'a str,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// The headers, for the cookie.
    pub headers: &'a HeaderMap,
    /// Address of the client, where it is known and can be trusted.
    pub client: Option<IpAddr>,
}

/// A claim that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Id of the key that it was signed with.
    pub key: Box<str>,
    /// Until when it holds, in seconds since 1970.
    pub expires: u64,
}

/// Why a claim does not hold. One word each, for logs, metrics and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There is no signature at all.
    #[error("this needs a signed URL")]
    Missing,
    /// A parameter is missing, given twice, or no value of its kind.
    #[error("the signature's parameters are not well-formed")]
    Malformed,
    /// No key has this id, or no longer.
    #[error("the URL was signed with a key that is not in use")]
    UnknownKey,
    /// Its time is over.
    #[error("the signed URL has expired")]
    Expired,
    /// It is for other paths, or the method is none that reads.
    #[error("the signature does not cover this request")]
    Scope,
    /// It is for clients of another network.
    #[error("the signed URL is for clients of another network")]
    Client,
    /// It was not made with this key, or not for these parameters and this path.
    #[error("the signature is wrong")]
    Signature,
}

impl Refusal {
    /// All of them, for metrics that exist before they are needed.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Malformed,
        Self::UnknownKey,
        Self::Expired,
        Self::Scope,
        Self::Client,
        Self::Signature,
    ];

    /// The word for a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::Expired => "expired",
            Self::Scope => "scope",
            Self::Client => "client",
            Self::Signature => "signature",
        }
    }

    /// The word for logs and the answer, where nothing around it says what was missing or expired.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::UnknownKey => "signature_unknown_key",
            Self::Expired => "signature_expired",
            Self::Scope => "signature_scope",
            Self::Client => "signature_client",
            Self::Signature => "signature_wrong",
        }
    }
}

/// Whether the claim holds at `now`.
///
/// The signature is compared (in constant time) before expiry, scope and client are looked at, so those
/// reasons are only told to someone who holds a signature of ours.
pub fn verify(keys: &Keys, claim: &Claim<'_>, now: SystemTime) -> Result<Grant, Refusal> {
    if let Some(signed) = Signed::in_query(claim.query.unwrap_or_default()) {
        return judge(keys, &signed?, claim, now);
    }
    let mut refusal = Refusal::Missing;
    for value in cookies(claim.headers).take(MAX_COOKIES) {
        let judged = Signed::in_query(value)
            .unwrap_or(Err(Refusal::Malformed))
            .and_then(|signed| judge(keys, &signed, claim, now));
        match judged {
            Ok(grant) => return Ok(grant),
            // The first cookie has the longest path (RFC 6265 section 5.4), so it is the one that was meant.
            Err(error) if refusal == Refusal::Missing => refusal = error,
            Err(_) => {}
        }
    }
    Err(refusal)
}

fn judge(
    keys: &Keys,
    signed: &Signed,
    claim: &Claim<'_>,
    now: SystemTime,
) -> Result<Grant, Refusal> {
    let key = keys.find(&signed.key).ok_or(Refusal::UnknownKey)?;
    let permit = signed.permit(claim.path)?;
    if !key.made(&permit, &signed.signature) {
        return Err(Refusal::Signature);
    }
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if seconds > permit.expires.saturating_add(keys.clock_skew().as_secs()) {
        return Err(Refusal::Expired);
    }
    if !matches!(*claim.method, Method::GET | Method::HEAD) || !permit.scope.covers(claim.path) {
        return Err(Refusal::Scope);
    }
    if let Some(network) = permit.client {
        let inside = claim
            .client
            .is_some_and(|address| network.contains(&address.to_canonical()));
        if !inside {
            return Err(Refusal::Client);
        }
    }
    Ok(Grant {
        key: signed.key.as_str().into(),
        expires: permit.expires,
    })
}

/// Values of our cookie (RFC 6265 section 4.2.1), in the order sent.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value)
}
