//! Objects that are written and read whole, a few kilobytes each: the purge log.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{S3Origin, failure};
use crate::config::{self, OriginLimits};
use crate::origin::{ConnectError, OriginError};

/// A bucket's small objects. Keys are given without the configured prefix.
pub(crate) struct SmallObjects(S3Origin);

impl SmallObjects {
    pub(crate) fn new(s3: &config::S3, limits: &OriginLimits) -> Result<Self, ConnectError> {
        Ok(Self(S3Origin::new(s3, limits)?))
    }

    pub(crate) async fn put(&self, key: &str, body: Vec<u8>) -> Result<(), OriginError> {
        let put = self.0.client.put_object().bucket(&self.0.bucket);
        let put = put.key(self.full(key)).content_type("application/json");
        let sent = put.body(ByteStream::from(body)).send().await;
        sent.map(|_| ()).map_err(reason)
    }

    /// `None` for an object that is not there. At most `most` bytes are read.
    pub(crate) async fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, OriginError> {
        let get = self.0.client.get_object().bucket(&self.0.bucket);
        let mut body = match get.key(self.full(key)).send().await {
            Ok(object) => object.body,
            Err(error) => {
                return match reason(error) {
                    OriginError::Status(404) => Ok(None),
                    error => Err(error),
                };
            }
        };
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| OriginError::Body(error.into()))?);
            if bytes.len() as u64 > most {
                return Err(OriginError::Malformed("a small object that is not small"));
            }
        }
        Ok(Some(bytes))
    }

    /// Keys that start with `prefix` and sort after `after`, in order.
    pub(crate) async fn list(&self, prefix: &str, after: &str) -> Result<Vec<String>, OriginError> {
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let list = self.0.client.list_objects_v2().bucket(&self.0.bucket);
            let page = list
                .prefix(self.full(prefix))
                .start_after(self.full(after))
                .set_continuation_token(token)
                .send()
                .await
                .map_err(reason)?;
            let found = page.contents().iter().filter_map(|object| object.key());
            let own = found.filter_map(|key| key.strip_prefix(self.0.prefix.as_str()));
            keys.extend(own.map(str::to_owned));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() || page.is_truncated() != Some(true) {
                return Ok(keys);
            }
        }
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), OriginError> {
        let delete = self.0.client.delete_object().bucket(&self.0.bucket);
        let sent = delete.key(self.full(key)).send().await;
        sent.map(|_| ()).map_err(reason)
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.0.prefix)
    }
}

fn reason<E>(error: SdkError<E, HttpResponse>) -> OriginError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match failure(error) {
        Err(error) => error,
        Ok(_) => OriginError::Status(404),
    }
}
