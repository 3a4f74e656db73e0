//! One object through one server: asked for, read to its end, compared.

use std::time::Duration;

use http::header::{ETAG, HeaderName};
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use percent_encoding::utf8_percent_encode;
use sha2::{Digest as _, Sha256};

use super::cache_status::{Said, said};
use super::{Check, Item, Progress, Warm};
use crate::origin::Source;
use crate::origin::http_server::{PATH, no_request_body};
use crate::store::hex;

/// The pause before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Why an object did not come as it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The path and the server's address make no URL.
    #[error("not a URL")]
    Url,
    /// No connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(#[source] Source),
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Timeout,
    /// Another status than 200.
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    /// Another length than the manifest says.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// As the manifest says.
        expected: u64,
        /// As it came.
        found: u64,
    },
    /// Another entity tag than the manifest says.
    #[error("it has the entity tag {found}, not {expected}")]
    ETag {
        /// As the manifest says.
        expected: String,
        /// As it came.
        found: String,
    },
    /// Another hash than the manifest says.
    #[error("it has another SHA-256 than the manifest says")]
    Hash,
}

impl FetchError {
    /// Whether the same request may go better in a moment.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

impl Warm {
    pub(super) async fn fetch(
        &self,
        target: &Uri,
        item: &Item,
        progress: &Progress,
    ) -> Result<Said, FetchError> {
        let (mut pause, mut left) = (PAUSE, self.options.attempts);
        loop {
            left = left.saturating_sub(1);
            match self.fetch_once(target, item, progress).await {
                Err(error) if left > 0 && error.is_passing() => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn fetch_once(
        &self,
        target: &Uri,
        item: &Item,
        progress: &Progress,
    ) -> Result<Said, FetchError> {
        let base = target.to_string();
        let path = utf8_percent_encode(&item.path, PATH);
        let request = Request::get(format!("{}{path}", base.trim_end_matches('/')))
            .body(no_request_body())
            .map_err(|_| FetchError::Url)?;
        let idle = self.options.idle_timeout;
        let response = tokio::time::timeout(idle, self.client.request(request)).await;
        let response = response
            .map_err(|_| FetchError::Timeout)?
            .map_err(|error| FetchError::Unreachable(error.into()))?;
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(FetchError::Status(head.status));
        }
        let (mut sha256, mut length) = (Sha256::new(), 0);
        let hashed = self.options.check == Check::Everything && item.sha256.is_some();
        while let Some(frame) = tokio::time::timeout(idle, body.frame())
            .await
            .map_err(|_| FetchError::Timeout)?
        {
            let frame = frame.map_err(|error| FetchError::Unreachable(error.into()))?;
            if let Some(data) = frame.data_ref() {
                self.pace.take(data.len() as u64).await;
                progress.received(data.len() as u64);
                length += data.len() as u64;
                if hashed {
                    sha256.update(data);
                }
            }
        }
        let text = |name: HeaderName| {
            let values = head.headers.get_all(name).into_iter();
            let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
            values.join(", ")
        };
        if self.options.check == Check::Everything {
            let hash = hashed.then(|| hex(&sha256.finalize()));
            compare(item, length, &text(ETAG), hash.as_deref())?;
        }
        Ok(said(&text(HeaderName::from_static("cache-status"))))
    }
}

/// What came with what the manifest says. Pure.
fn compare(item: &Item, length: u64, etag: &str, hash: Option<&str>) -> Result<(), FetchError> {
    if let Some(expected) = item.size
        && expected != length
    {
        return Err(FetchError::Length {
            expected,
            found: length,
        });
    }
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    if let Some(expected) = &item.etag
        && bare(expected) != bare(etag)
    {
        return Err(FetchError::ETag {
            expected: expected.clone(),
            found: etag.to_owned(),
        });
    }
    match (&item.sha256, hash) {
        (Some(expected), Some(hash)) if !expected.eq_ignore_ascii_case(hash) => {
            Err(FetchError::Hash)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_tag_and_hash_must_agree_where_the_manifest_has_them() {
        let bare = Item {
            path: "/a".into(),
            size: None,
            etag: None,
            sha256: None,
        };
        assert!(compare(&bare, 3, "", None).is_ok());
        let full = Item {
            size: Some(3),
            etag: Some("\"x\"".into()),
            sha256: Some("AB".into()),
            ..bare
        };
        assert!(compare(&full, 3, "x", Some("ab")).is_ok());
        for (length, etag, hash) in [(4, "x", "ab"), (3, "y", "ab"), (3, "x", "ac")] {
            assert!(compare(&full, length, etag, Some(hash)).is_err());
        }
    }
}
