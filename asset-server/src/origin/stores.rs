//! Which origins are one and the same store, and the guard of each.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;

use super::guard::Guard;
use crate::config::{Origin, OriginLimits};

/// What makes a store itself: not the prefix, the key that signs, or the mount. Those share its limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum StoreId {
    /// A bucket at an endpoint.
    Bucket { endpoint: String, bucket: String },
    /// A server, by scheme and authority.
    Server(String),
    /// A directory.
    Directory(PathBuf),
}

impl StoreId {
    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::S3(s3) => Self::Bucket {
                endpoint: s3
                    .endpoint
                    .parse()
                    .map_or_else(|_| s3.endpoint.clone(), |uri| server(&uri)),
                bucket: s3.bucket.clone(),
            },
            Origin::Http { url } => Self::Server(server(url)),
            Origin::Directory { path } => Self::Directory(path.clone()),
        }
    }
}

/// Host names have no case (RFC 3986 section 3.2.2), and a default port is no other server.
fn server(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let port = url
        .port_u16()
        .unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = url.host().unwrap_or_default().to_ascii_lowercase();
    format!("{scheme}://{host}:{port}")
}

/// The guards of all stores.
pub(crate) struct Stores {
    limits: OriginLimits,
    guards: HashMap<StoreId, Arc<Guard>>,
}

impl Stores {
    pub(crate) fn new(limits: &OriginLimits) -> Self {
        Self {
            limits: limits.clone(),
            guards: HashMap::new(),
        }
    }

    /// The guard of the store that an origin is, or is a part of. Files are not counted by the second.
    pub(super) fn guard(&mut self, origin: &Origin) -> Arc<Guard> {
        let counted = !matches!(origin, Origin::Directory { .. });
        self.guards
            .entry(StoreId::of(origin))
            .or_insert_with(|| Arc::new(Guard::new(&self.limits, counted)))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Addressing, Credentials, S3};

    fn bucket(endpoint: &str, bucket: &str, prefix: &str) -> StoreId {
        StoreId::of(&Origin::S3(S3 {
            endpoint: endpoint.into(),
            region: "us-east-1".into(),
            bucket: bucket.into(),
            prefix: prefix.into(),
            addressing: Addressing::Path,
            credentials: Credentials::Anonymous,
        }))
    }

    #[test]
    fn a_store_is_endpoint_and_bucket_however_they_are_written() {
        let store = bucket("https://ams3.example.com", "a", "");
        for same in [
            bucket("https://AMS3.example.com/", "a", "web/"),
            bucket("https://ams3.example.com:443", "a", ""),
        ] {
            assert_eq!(same, store);
        }
        for other in [
            bucket("https://ams3.example.com", "b", ""),
            bucket("https://nyc3.example.com", "a", ""),
            bucket("http://ams3.example.com", "a", ""),
        ] {
            assert_ne!(other, store);
        }
    }
}
