//! The demo's object store: a real S3 protocol server over a directory, in this process.
//!
//! Asset servers talk to it with the same code as to Spaces: signatures are verified, ranges and
//! conditions obeyed. Every region gets an access key of its own, so [`S3Store::requests`] can say what
//! each region asked for; the same answer is at [`REQUESTS_PATH`]. It can be taken away and brought
//! back on the same port.
//!
//! Where real stores are wrong it is wrong in the same way: an `If-Range` that no longer holds is
//! ignored and answered 206, and a 304 carries no validators (Ceph RGW does both).

mod access_key;
mod conditions;
mod object_store;
mod request_log;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{self, BoxFuture, FutureExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};

pub use self::access_key::AccessKey;
pub use self::object_store::{NewObject, PutError};
pub use self::request_log::{ObjectRequests, Requests};

use self::access_key::Keyring;
use self::object_store::ObjectStore;
use self::request_log::RequestLog;
use super::local_server::LocalServer;

/// Where the store's own port answers [`S3Store::requests`] as JSON. No bucket name has an underscore.
pub const REQUESTS_PATH: &str = "/_demo/requests";

/// The name under which the store's owner, who may use it by hand, appears among the requesters.
pub const OWNER: &str = "owner";

const BUCKET: &str = "edge-assets";

/// An S3 server on loopback with one bucket; it ends when this value is dropped.
#[derive(Debug)]
pub struct S3Store {
    server: LocalServer<Front>,
    objects: ObjectStore,
    /// The owner's first.
    access_keys: Vec<AccessKey>,
}

impl S3Store {
    /// Serves what is and will be in `directory` on `port` (0: a free one), with an access key for each
    /// of `requesters` and one for [`OWNER`].
    pub async fn start(directory: &Path, port: u16, requesters: &[&str]) -> io::Result<Self> {
        Self::start_with(directory, port, requesters, None).await
    }

    /// The same, as fast as real stores are: `stream_rate` bytes a second for each body, however many
    /// there are.
    pub async fn start_with(
        directory: &Path,
        port: u16,
        requesters: &[&str],
        stream_rate: Option<NonZeroU64>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(directory.join(BUCKET))?;
        let access_keys = std::iter::once(&OWNER)
            .chain(requesters)
            .map(|requester| AccessKey::generate(requester))
            .collect::<io::Result<Vec<_>>>()?;
        let log = Arc::new(RequestLog::new(&access_keys));
        let objects = ObjectStore::open(directory, Arc::clone(&log), stream_rate)?;

        let mut s3 = S3ServiceBuilder::new(objects.clone());
        s3.set_auth(Keyring::new(&access_keys));
        let front = Front {
            s3: s3.build(),
            log,
        };
        let server = LocalServer::start(port, front).await?;
        Ok(Self {
            server,
            objects,
            access_keys,
        })
    }

    /// Base URL of the S3 API; buckets are addressed by path.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The only bucket.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The owner's access key id.
    pub fn access_key(&self) -> &str {
        self.access_keys[0].id()
    }

    /// The owner's secret key.
    pub fn secret_key(&self) -> &str {
        self.access_keys[0].secret()
    }

    /// The access key made for one of the requesters given to [`start`](Self::start).
    pub fn access_key_of(&self, requester: &str) -> Option<&AccessKey> {
        self.access_keys
            .iter()
            .find(|key| key.requester() == requester)
    }

    /// What each requester asked for since the start.
    pub fn requests(&self) -> Requests {
        self.objects.requests()
    }

    /// Creates or replaces an object without going over the network, so that it is counted nowhere.
    pub async fn put(&self, object: NewObject) -> Result<(), PutError> {
        self.objects.put(BUCKET, object).await
    }

    /// Takes the store away: connections are refused, and open ones end.
    pub async fn stop(&self) -> io::Result<()> {
        self.server.stop().await
    }

    /// Brings the store back on the same port, with the same objects and keys.
    pub async fn restart(&self) -> io::Result<()> {
        self.server.restart().await
    }
}

/// The S3 service with the read-out of its request log in front.
#[derive(Clone, Debug)]
struct Front {
    s3: S3Service,
    log: Arc<RequestLog>,
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == REQUESTS_PATH {
            return future::ready(read_out(&self.log.requests())).boxed();
        }
        Service::call(&self.s3, request)
    }
}

fn read_out(requests: &Requests) -> Result<Response<Body>, HttpError> {
    let json = serde_json::to_vec(requests).map_err(|error| HttpError::new(error.into()))?;
    let mut response = Response::new(Body::from(json));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[cfg(test)]
mod tests;
