//! What is said about an object beside its bytes, and travels with it.
//!
//! Tags, access control lists, storage class and lock settings are the store's own and do not travel.

use std::collections::BTreeMap;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

/// Headers and user metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Expires`, an HTTP date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// User metadata: `x-amz-meta-` headers without that prefix, in lower case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

impl Attributes {
    /// What an origin's response says about its object; the field that a purge by surrogate key reads is
    /// user metadata in a bucket.
    pub fn of_response(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let keys = text(HeaderName::from_static("surrogate-key"));
        Self {
            content_type: text(CONTENT_TYPE),
            cache_control: text(CACHE_CONTROL),
            content_encoding: text(CONTENT_ENCODING),
            content_disposition: text(CONTENT_DISPOSITION),
            content_language: text(CONTENT_LANGUAGE),
            expires: text(EXPIRES),
            user: keys
                .map(|keys| ("surrogate-key".to_owned(), keys))
                .into_iter()
                .collect(),
        }
    }

    /// Whether a reader would see the same. Stores make up a type where none was given.
    pub fn same_as(&self, other: &Self) -> bool {
        self.normal() == other.normal()
    }

    fn normal(&self) -> Self {
        let mut normal = self.clone();
        let made_up = |kind: &String| {
            kind.is_empty() || kind == "application/octet-stream" || kind == "binary/octet-stream"
        };
        normal.content_type = normal.content_type.filter(|kind| !made_up(kind));
        for value in [
            &mut normal.cache_control,
            &mut normal.content_encoding,
            &mut normal.content_disposition,
            &mut normal.content_language,
            &mut normal.expires,
        ] {
            *value = value.take().filter(|text| !text.is_empty());
        }
        normal.user = normal
            .user
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_the_store_made_up_is_no_difference_and_a_real_one_is() {
        let with = |kind: Option<&str>| Attributes {
            content_type: kind.map(str::to_owned),
            ..Attributes::default()
        };
        assert!(with(None).same_as(&with(Some("application/octet-stream"))));
        assert!(with(Some("binary/octet-stream")).same_as(&with(None)));
        assert!(!with(None).same_as(&with(Some("text/html"))));
        let mut named = with(None);
        named.user.insert("Owner".into(), "ml".into());
        assert!(!named.same_as(&with(None)));
        let mut lower = with(None);
        lower.user.insert("owner".into(), "ml".into());
        assert!(named.same_as(&lower));
    }
}
