//! Copying one object from store to store, hashed as it is read.

use std::collections::BTreeMap;

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::read::Content;
use super::record::Record;
use super::{Archive, MoveError, Progress, unreadable};
use crate::store::digest::Expected;
use crate::store::part_size::{self, SINGLE};
use crate::store::upload::{Cut, InFlight};
use crate::store::{Condition, ObjectHead, Part, StoreBody, StoreError, UploadRef, collect, hex};

impl Archive {
    /// What was read of the source and written to the target.
    pub(super) async fn copy(
        &self,
        key: &str,
        source: &ObjectHead,
        condition: &Condition,
        progress: &Progress,
    ) -> Result<Content, MoveError> {
        let found = self.from.get(key, None, source.etag.as_deref()).await;
        let (head, body) = found
            .and_then(|found| found.ok_or(StoreError::Changed))
            .map_err(MoveError::Read)?;
        if head != *source {
            return Err(MoveError::Read(StoreError::Changed));
        }
        if source.size > SINGLE {
            return self
                .copy_in_parts(key, source, body, condition, progress)
                .await;
        }
        let body = collect(body, source.size).await.map_err(MoveError::Read)?;
        self.pace.take(body.len() as u64).await;
        progress.read(body.len() as u64);
        let content = Content {
            size: body.len() as u64,
            sha256: Sha256::digest(&body).into(),
        };
        let put = self.to.put(key, &source.attributes, body, condition);
        put.await.map_err(MoveError::Write)?;
        Ok(content)
    }

    async fn copy_in_parts(
        &self,
        key: &str,
        source: &ObjectHead,
        body: StoreBody,
        condition: &Condition,
        progress: &Progress,
    ) -> Result<Content, MoveError> {
        let size = part_size::parts(Some(source.size)).and_then(|parts| parts.size(1));
        let size = size.ok_or(MoveError::Write(StoreError::Key("it is too large")))?;
        let (upload, have) = self
            .begin_or_continue(key, source, size)
            .await
            .map_err(MoveError::Write)?;
        // Not aborted when it fails: the next run continues it.
        let mut in_flight = InFlight::resumable(self.to.clone(), upload);
        let mut cut = Cut::new(body, Some(source.size), &Expected::default());
        let (mut sha256, mut number, mut offset) = (Sha256::new(), 1, 0);
        loop {
            let part = cut.next(size).await.map_err(unreadable)?;
            if part.is_empty() {
                break;
            }
            let length = part.len() as u64;
            self.pace.take(length).await;
            progress.read(length);
            sha256.update(&part);
            match have.get(&number).filter(|have| is_that_part(have, &part)) {
                Some(have) => {
                    in_flight.have(have.clone());
                    progress.part_reused();
                }
                None => {
                    if let Err(error) = in_flight.send(number, offset, part).await {
                        return Err(self.give_up(key, in_flight, error).await);
                    }
                }
            }
            (number, offset) = (number + 1, offset + length);
        }
        let content = Content {
            size: cut.finish().map_err(unreadable)?,
            sha256: sha256.finalize().into(),
        };
        match in_flight.complete(condition).await {
            Ok(_) => {}
            Err(error) => return Err(self.give_up(key, in_flight, error).await),
        }
        self.forget_record(key).await.map_err(MoveError::Write)?;
        Ok(content)
    }

    /// An upload that the store refuses will be refused again, so the next run begins another. One that
    /// may only have been unlucky stays, to be continued.
    async fn give_up(&self, key: &str, in_flight: InFlight, error: StoreError) -> MoveError {
        let refused = matches!(
            error,
            StoreError::Precondition | StoreError::Denied(_) | StoreError::NoUpload
        );
        if refused {
            in_flight.abort().await;
            let _ = self.forget_record(key).await;
        }
        MoveError::Write(error)
    }

    /// The upload of a run that was interrupted, with the parts that it has, or a new one.
    async fn begin_or_continue(
        &self,
        key: &str,
        source: &ObjectHead,
        part_size: u64,
    ) -> Result<(UploadRef, BTreeMap<u32, Part>), StoreError> {
        if let Some(record) = self.record(key).await? {
            let upload = record.upload();
            let parts = match record.is_about(source, part_size) {
                true => self.to.list_parts(&upload).await,
                false => Err(StoreError::NoUpload),
            };
            match parts {
                Ok(parts) => {
                    let parts = parts.into_iter().map(|part| (part.number, part));
                    return Ok((upload, parts.collect()));
                }
                Err(error @ (StoreError::Unreachable(_) | StoreError::SlowDown)) => {
                    return Err(error);
                }
                // Completed, expired, or about an older version. What is left of it, if anything, is
                // of no use; if it cannot be aborted, a new one works all the same.
                Err(_) => {
                    let _ = self.to.abort_upload(&upload).await;
                }
            }
        }
        let upload = self.to.begin_upload(key, &source.attributes).await?;
        self.save_record(&Record::new(&upload, source, part_size))
            .await?;
        Ok((upload, BTreeMap::new()))
    }
}

/// Only a part whose tag is the MD5 of these bytes: some stores give other tags, or none.
fn is_that_part(have: &Part, part: &Bytes) -> bool {
    have.size == part.len() as u64
        && have
            .etag
            .as_deref()
            .is_some_and(|tag| tag.trim_matches('"') == hex(&Md5::digest(part)))
}
