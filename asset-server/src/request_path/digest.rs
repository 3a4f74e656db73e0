//! Digests of what goes out, for clients that ask (RFC 9530): computed when the first one does, kept with
//! the object in memory.
//!
//! For an object that is still arriving the head of the response waits for its last byte, since that is
//! where the digest stands. Slices, and objects that memory has no room for, have none.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};

use crate::cache::entry::{Content, Meta, Presence};
use crate::respond::body::AssetBody;
use crate::respond::digest::Wanted;
use crate::respond::{Answer, Bytestream};
use crate::server::Inner;

impl Inner {
    /// The response, with its digest if the request wants it and it is known; if not, with what is needed
    /// to compute it.
    pub(super) fn digested(
        &self,
        answer: Answer<'_>,
        kept: Arc<Meta>,
        request: &Parts,
    ) -> Response<AssetBody> {
        let wanted = match answer.mount.delivery.digests {
            true => Wanted::of(&request.headers),
            false => Wanted::default(),
        };
        if !wanted.any() || kept.status != StatusCode::OK || kept.presence != Presence::Object {
            return answer.respond(request);
        }
        let bytes = answer.bytes.clone();
        let mut response = answer.respond(request);
        let status = response.status();
        match kept.sha_256.get() {
            Some(sha_256) => wanted.add(*sha_256, status, response.headers_mut()),
            None => {
                let undigested = Undigested {
                    wanted,
                    bytes,
                    kept,
                };
                response.extensions_mut().insert(undigested);
            }
        }
        response
    }

    /// Computes a digest that is missing.
    pub(super) async fn digest(&self, response: &mut Response<AssetBody>) {
        let Some(undigested) = response.extensions_mut().remove::<Undigested>() else {
            return;
        };
        let Undigested {
            wanted,
            bytes,
            kept,
        } = undigested;
        let Some(pieces) = self.all_of(bytes, &kept).await else {
            return;
        };
        if let Some(sha_256) = self.cache.sha_256(pieces).await {
            let sha_256 = *kept.sha_256.get_or_init(|| sha_256);
            wanted.add(sha_256, response.status(), response.headers_mut());
        }
    }

    /// The bytes of an object that is in memory, or will be.
    async fn all_of(&self, bytes: Bytestream, meta: &Meta) -> Option<Vec<Bytes>> {
        let is_small = |length: u64| self.cache.memory.admits(length);
        let pieces = match bytes {
            Bytestream::Complete(Content::Memory(chunks)) => chunks.to_vec(),
            Bytestream::Arriving(fill) if meta.length.is_some_and(is_small) => {
                fill.all_of().await?
            }
            Bytestream::Coding(fill) => return fill.all_of().await,
            _ => return None,
        };
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        (meta.length == Some(length)).then_some(pieces)
    }
}

/// A response whose digest is wanted and not known.
#[derive(Clone)]
struct Undigested {
    wanted: Wanted,
    bytes: Bytestream,
    kept: Arc<Meta>,
}
