//! The signature's parameters in a query or cookie: read, written, and taken out again.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Refusal;
use super::keys::is_id;
use super::permit::{Permit, Scope};

/// The cookie that is read where the query has no parameters of ours.
pub const COOKIE_NAME: &str = "edge-signature";

const EXPIRES: &str = "edge-expires";
const KEY: &str = "edge-key";
const SCOPE: &str = "edge-scope";
const CLIENT: &str = "edge-client";
const SIGNATURE: &str = "edge-signature";

const NAMES: [&str; 5] = [EXPIRES, KEY, SCOPE, CLIENT, SIGNATURE];

/// What a value may hold as it is, in a query and in a cookie alike.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// The parameters as they were sent, each of its kind; nothing is proven yet.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) key: String,
    pub(super) signature: Vec<u8>,
    expires: u64,
    /// `None` stands for the path of the request.
    prefix: Option<String>,
    client: Option<IpNet>,
}

impl Signed {
    /// `None` where the query has no parameter of ours. One that is there twice is refused: which of the
    /// two counts must never be a matter of opinion.
    pub(super) fn in_query(query: &str) -> Option<Result<Self, Refusal>> {
        let mut values: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        let mut any = false;
        for pair in query.split('&') {
            let Some(at) = ours(pair) else { continue };
            any = true;
            let value = pair.split_once('=').map_or("", |(_, value)| value);
            match values.get_mut(at) {
                Some(slot @ None) => *slot = Some(value),
                _ => return Some(Err(Refusal::Malformed)),
            }
        }
        any.then(|| Self::of_values(values).ok_or(Refusal::Malformed))
    }

    fn of_values([expires, key, scope, client, signature]: [Option<&str>; 5]) -> Option<Self> {
        let scope = match scope {
            None => None,
            Some(scope) => Some(decoded(scope)?),
        };
        Some(Self {
            expires: number(expires?)?,
            key: key.filter(|key| is_id(key))?.to_owned(),
            prefix: match scope.as_deref() {
                None | Some("path") => None,
                Some(scope) => Some(scope.strip_prefix("prefix:")?.to_owned()),
            },
            client: match client {
                None => None,
                Some(client) => Some(decoded(client)?.parse().ok()?),
            },
            // One spelling for each signature: no padding, no stray bits.
            signature: URL_SAFE_NO_PAD
                .decode(signature?)
                .ok()
                .filter(|bytes| bytes.len() == 32)?,
        })
    }

    /// What is permitted if the signature holds, for a request of this path.
    pub(super) fn permit(&self, path: &str) -> Result<Permit, Refusal> {
        let scope = match &self.prefix {
            None => Scope::Path(path.to_owned()),
            Some(prefix) if prefix.starts_with('/') && prefix.ends_with('/') => {
                Scope::Prefix(prefix.clone())
            }
            Some(_) => return Err(Refusal::Malformed),
        };
        // The signed message has a field a line.
        if scope.as_str().contains(char::is_control) {
            return Err(Refusal::Malformed);
        }
        Ok(Permit {
            scope,
            expires: self.expires,
            client: self.client,
        })
    }
}

/// The parameters of a permit, without `?`.
pub(super) fn render(key: &str, permit: &Permit, signature: &[u8]) -> String {
    let mut query = format!("{EXPIRES}={}&{KEY}={key}", permit.expires);
    if let Scope::Prefix(prefix) = &permit.scope {
        let prefix = utf8_percent_encode(prefix, &ESCAPED);
        query.push_str(&format!("&{SCOPE}=prefix:{prefix}"));
    }
    if let Some(client) = permit.client {
        query.push_str(&format!("&{CLIENT}={}", client.trunc()));
    }
    query.push_str(&format!(
        "&{SIGNATURE}={}",
        URL_SAFE_NO_PAD.encode(signature)
    ));
    query
}

/// The query without our parameters, for the cache key and the origin; the rest keeps bytes and order.
pub fn strip(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(|pair| ours(pair).is_some()) {
        return Cow::Borrowed(query);
    }
    let others: Vec<&str> = query
        .split('&')
        .filter(|pair| ours(pair).is_none())
        .collect();
    Cow::Owned(others.join("&"))
}

/// Which of our parameters a `name=value` is. Names are taken literally: an encoded spelling is another
/// parameter, here and in [`strip`] alike.
fn ours(pair: &str) -> Option<usize> {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    NAMES.iter().position(|own| *own == name)
}

fn decoded(value: &str) -> Option<String> {
    let text = percent_decode_str(value).decode_utf8().ok()?;
    Some(text.into_owned())
}

/// Digits of a time; twelve of them last for thirty thousand years.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
