//! An upload in parts while it runs: a few parts in flight, and an abort that cannot be forgotten.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::store::{Condition, ObjectStore, Part, StoreError, UploadRef};

/// Parts in flight while the next is filled.
const PARTS: usize = 2;

pub(crate) struct InFlight {
    store: Arc<dyn ObjectStore>,
    upload: UploadRef,
    sending: JoinSet<Result<Part, StoreError>>,
    sent: Vec<Part>,
    /// Not to be aborted when dropped.
    done: bool,
}

impl InFlight {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, upload: UploadRef) -> Self {
        Self {
            store,
            upload,
            sending: JoinSet::new(),
            sent: Vec::new(),
            done: false,
        }
    }

    /// One that is not aborted when it is dropped, because it can be continued.
    pub(crate) fn resumable(store: Arc<dyn ObjectStore>, upload: UploadRef) -> Self {
        let mut resumable = Self::new(store, upload);
        resumable.done = true;
        resumable
    }

    /// A part that the store has already.
    pub(crate) fn have(&mut self, part: Part) {
        self.sent.push(part);
    }

    /// Begins to send a part, when there is room for it.
    pub(crate) async fn send(
        &mut self,
        number: u32,
        offset: u64,
        body: Bytes,
    ) -> Result<(), StoreError> {
        while self.sending.len() >= PARTS {
            self.land().await?;
        }
        let (store, upload) = (self.store.clone(), self.upload.clone());
        self.sending
            .spawn(async move { store.upload_part(&upload, number, offset, body).await });
        Ok(())
    }

    pub(crate) async fn complete(
        &mut self,
        condition: &Condition,
    ) -> Result<Option<String>, StoreError> {
        while !self.sending.is_empty() {
            self.land().await?;
        }
        self.sent.sort_by_key(|part| part.number);
        let complete = self
            .store
            .complete_upload(&self.upload, &self.sent, condition);
        complete.await
    }

    /// Nothing is left to abort.
    pub(crate) fn done(mut self) {
        self.done = true;
    }

    /// Aborts, and waits for it. A failure to do so is the store's to clean up (a lifecycle rule for
    /// incomplete uploads), so it is not told.
    pub(crate) async fn abort(mut self) {
        self.done = true;
        let sending = std::mem::take(&mut self.sending);
        aborted(self.store.clone(), self.upload.clone(), sending).await;
    }

    async fn land(&mut self) -> Result<(), StoreError> {
        match self.sending.join_next().await {
            Some(Ok(part)) => self.sent.push(part?),
            Some(Err(panic)) => return Err(StoreError::Unreachable(panic.into())),
            None => {}
        }
        Ok(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let sending = std::mem::take(&mut self.sending);
            runtime.spawn(aborted(self.store.clone(), self.upload.clone(), sending));
        }
    }
}

/// First the parts: one that arrives after the abort may stay.
async fn aborted(
    store: Arc<dyn ObjectStore>,
    upload: UploadRef,
    mut sending: JoinSet<Result<Part, StoreError>>,
) {
    sending.shutdown().await;
    if let Err(error) = store.abort_upload(&upload).await {
        tracing::warn!(%error, "an upload could not be aborted");
    }
}
