//! S3's own protocol for uploads in parts, carried on to the store, so that a client's SDK can upload in
//! parts and resume through the edge.
//!
//! | request | functions |
//! | --- | --- |
//! | `POST /key?uploads` | [`ObjectStore::begin_upload`], [`xml::initiated`] |
//! | `PUT /key?partNumber=N&uploadId=ID` | [`upload_part`] |
//! | `GET /key?uploadId=ID` | [`ObjectStore::list_parts`], [`xml::parts`] |
//! | `POST /key?uploadId=ID` | [`xml::completion`], [`ObjectStore::complete_upload`], [`xml::completed`] |
//! | `DELETE /key?uploadId=ID` | [`ObjectStore::abort_upload`] |
//!
//! Only for S3 stores: a directory must know where in the object a part begins, which S3 clients do not
//! say.
//!
//! [`ObjectStore::begin_upload`]: super::ObjectStore::begin_upload
//! [`ObjectStore::list_parts`]: super::ObjectStore::list_parts
//! [`ObjectStore::complete_upload`]: super::ObjectStore::complete_upload
//! [`ObjectStore::abort_upload`]: super::ObjectStore::abort_upload

pub mod xml;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::digest::{Checker, Expected};
use super::part_size::MOST_PARTS;
use super::{Part, S3Store, StoreError, UploadError, UploadRef};
use crate::origin::Source;

/// The largest part that S3 takes.
const LARGEST_PART: u64 = 5 << 30;

/// Pieces between client and store.
const PIECES: usize = 2;

/// Streams one part of `length` bytes without holding it. The last piece leaves only when length and
/// checksums agree, so the store never has a part that does not.
pub async fn upload_part<S, E>(
    store: &S3Store,
    upload: &UploadRef,
    number: u32,
    length: u64,
    expected: &Expected,
    body: S,
) -> Result<Part, UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Source>,
{
    if number == 0 || u64::from(number) > MOST_PARTS {
        return Err(StoreError::NoUpload.into());
    }
    if length > LARGEST_PART {
        return Err(UploadError::TooLarge);
    }
    let (pieces, receiver) = mpsc::channel(PIECES);
    let feed = feed(body, length, Checker::new(expected), pieces);
    let send = store.stream_part(upload, number, receiver, length, expected.content_md5());
    // The store's failure follows from the client's, so that is the one to tell.
    let (fed, sent) = tokio::join!(feed, send);
    fed?;
    Ok(sent?)
}

/// What goes to the store: pieces, or that there will be no more.
pub(super) type Piece = Result<Bytes, std::io::Error>;

async fn feed<S, E>(
    mut body: S,
    length: u64,
    mut checker: Checker,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Source>,
{
    let broken = || Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
    let mut received = 0;
    let mut held = Bytes::new();
    loop {
        let piece = match body.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                let _ = pieces.send(broken()).await;
                return Err(UploadError::Body(error.into()));
            }
            None => break,
        };
        checker.update(&piece);
        received += piece.len() as u64;
        if received > length {
            let _ = pieces.send(broken()).await;
            return Err(UploadError::Length {
                announced: length,
                received,
            });
        }
        let ready = std::mem::replace(&mut held, piece);
        // Nobody receives: the store has failed, and says why.
        if !ready.is_empty() && pieces.send(Ok(ready)).await.is_err() {
            return Ok(());
        }
    }
    let judged = match received == length {
        true => checker.finish().map_err(UploadError::Digest),
        false => Err(UploadError::Length {
            announced: length,
            received,
        }),
    };
    let last = match &judged {
        Ok(()) => Ok(held),
        Err(_) => broken(),
    };
    let _ = pieces.send(last).await;
    judged
}
