//! What a writer is told. Pure.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::purge_log::answer::PurgeAnswer;
use crate::purge_log::id::PurgeId;
use crate::respond::body::AssetBody;
use crate::store::Uploaded;

/// Whether every instance has forgotten the object: `complete`, or `pending`.
const EDGE_PURGE: HeaderName = HeaderName::from_static("edge-purge");

/// A write that has happened.
pub(super) enum Done {
    /// The object is there.
    Written {
        /// Whether there was none before.
        created: bool,
        /// Its path as a URL has it.
        location: String,
        /// Its path.
        path: String,
        uploaded: Uploaded,
        purge: PurgeAnswer,
    },
    /// The object is gone.
    Deleted { purge: PurgeAnswer },
    /// One part is there.
    Part { etag: Option<String> },
    /// In the words of S3; with a purge if an object is there.
    Xml {
        document: String,
        etag: Option<String>,
        purge: Option<PurgeAnswer>,
    },
    /// The upload is given up.
    Aborted,
}

#[derive(Serialize)]
struct Receipt<'a> {
    path: &'a str,
    size: u64,
    etag: Option<&'a str>,
    purge: Purged,
}

#[derive(Serialize)]
struct Purged {
    id: PurgeId,
    complete: bool,
}

impl Done {
    fn purge(&self) -> Option<&PurgeAnswer> {
        match self {
            Self::Written { purge, .. } | Self::Deleted { purge } => Some(purge),
            Self::Xml { purge, .. } => purge.as_ref(),
            Self::Part { .. } | Self::Aborted => None,
        }
    }

    /// Whether some instance has not confirmed that it has forgotten the object.
    pub(super) fn is_pending(&self) -> bool {
        self.purge().is_some_and(|purge| !purge.complete)
    }

    pub(super) fn respond(self) -> Response<AssetBody> {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(purge) = self.purge() {
            let state = if purge.complete {
                "complete"
            } else {
                "pending"
            };
            headers.insert(EDGE_PURGE, HeaderValue::from_static(state));
        }
        let mut tag = |etag: Option<&str>| {
            if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                headers.insert(ETAG, value);
            }
        };
        let (status, kind, body) = match self {
            Self::Written {
                created,
                location,
                path,
                uploaded,
                purge,
            } => {
                tag(uploaded.etag.as_deref());
                let receipt = Receipt {
                    path: &path,
                    size: uploaded.size,
                    etag: uploaded.etag.as_deref(),
                    purge: Purged {
                        id: purge.id,
                        complete: purge.complete,
                    },
                };
                let body = serde_json::to_vec(&receipt).unwrap_or_default();
                let status = if created {
                    if let Ok(location) = HeaderValue::try_from(location) {
                        headers.insert(LOCATION, location);
                    }
                    StatusCode::CREATED
                } else {
                    StatusCode::OK
                };
                (status, Some("application/json"), body)
            }
            Self::Part { etag } => {
                tag(etag.as_deref());
                (StatusCode::OK, None, Vec::new())
            }
            Self::Xml { document, etag, .. } => {
                tag(etag.as_deref());
                (
                    StatusCode::OK,
                    Some("application/xml"),
                    document.into_bytes(),
                )
            }
            Self::Deleted { .. } | Self::Aborted => (StatusCode::NO_CONTENT, None, Vec::new()),
        };
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let mut response = Response::new(AssetBody::whole(Bytes::from(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}
