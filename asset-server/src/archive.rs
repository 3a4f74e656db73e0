//! Moving old objects from a mount's origin to its archive, and back.
//!
//! For each object: copy, read the copy back and compare, and only then delete, if the source is still
//! what was copied. Nothing is remembered outside of the stores: an object is in the origin, or in the
//! archive, or in both, and a run that finds it in both compares the two. So a run may be killed at any
//! point and begun again, on another machine too. What a multipart upload was about is noted in the
//! archive under `.edge/records/`, to continue it.
//!
//! Two runs at once cost work but lose nothing: each deletes only what it has itself found equal.

mod copy;
mod read;
mod record;
mod report;
mod rule;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

use crate::pace::Pace;
use crate::store::{
    Attributes, Condition, Listed, ObjectHead, ObjectStore, RESERVED, StoreError, UploadError,
};

pub use report::{Failure, Progress, Report};
pub use rule::{Rule, Skip};

/// Which way objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the origin to the archive.
    Archive,
    /// From the archive to the origin.
    Restore,
}

/// How it is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which way.
    pub direction: Direction,
    /// Objects at once.
    pub concurrency: usize,
    /// Bytes per second that are read, over all objects; reading back counts.
    pub rate: Option<NonZeroU64>,
    /// What happens when the target has another object of that key.
    pub existing: Existing,
}

/// When the target has another object of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and so does the source.
    Keep,
    /// The source's takes its place.
    Replace,
}

/// One run.
pub struct Archive {
    from: Arc<dyn ObjectStore>,
    to: Arc<dyn ObjectStore>,
    /// The archive, in either direction: that is where notes are.
    notes: Arc<dyn ObjectStore>,
    rule: Rule,
    options: Options,
    pace: Pace,
}

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is only in the target now.
    Moved,
    /// As `Moved`, and the copy was there already.
    Finished,
    /// Nothing was deleted.
    Skipped(Skip),
}

/// Why an object could not be moved. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    #[error("reading the source: {0}")]
    Read(#[source] StoreError),
    #[error("writing the copy: {0}")]
    Write(#[source] StoreError),
    #[error("reading the copy back: {0}")]
    ReadBack(#[source] StoreError),
    #[error("the copy that was read back is not the object that was written")]
    Unequal,
    #[error("the copy has other headers or metadata than the source")]
    Attributes,
    #[error("deleting the source: {0}")]
    Delete(#[source] StoreError),
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Origin and archive are one: archiving would delete what it has just found to be there.
    #[error("origin and archive are the same place")]
    SamePlace,
    /// The archive cannot be written, or the origin not be read.
    #[error("the {0} cannot be used: {1}")]
    Store(&'static str, #[source] StoreError),
}

impl Archive {
    /// Nothing is asked yet.
    pub fn new(
        origin: Arc<dyn ObjectStore>,
        archive: Arc<dyn ObjectStore>,
        rule: Rule,
        options: Options,
    ) -> Self {
        let notes = archive.clone();
        let (from, to) = match options.direction {
            Direction::Archive => (origin, archive),
            Direction::Restore => (archive, origin),
        };
        Self {
            from,
            to,
            notes,
            rule,
            pace: Pace::new(options.rate),
            options,
        }
    }

    /// What a run would do, told by a listing alone.
    pub async fn dry_run(&self, now: SystemTime, progress: &Progress) {
        let mut objects = std::pin::pin!(self.listed());
        while let Some(listed) = objects.next().await {
            match listed {
                Ok(listed) => match self.rule.judge(&listed, now) {
                    Ok(()) => {
                        progress.selected(&listed);
                        progress.moved(&listed, "would be moved");
                    }
                    Err(skip) => progress.skipped(skip),
                },
                Err(error) => progress.failed("", &error),
            }
        }
    }

    /// Moves all that the rule selects. May be dropped at any point.
    pub async fn run(&self, now: SystemTime, progress: &Progress) -> Result<(), StartError> {
        self.probe().await?;
        self.listed()
            .for_each_concurrent(self.options.concurrency.max(1), |listed| async move {
                let listed = match listed {
                    Ok(listed) => listed,
                    Err(error) => return progress.failed("", &error),
                };
                if let Err(skip) = self.rule.judge(&listed, now) {
                    return progress.skipped(skip);
                }
                progress.selected(&listed);
                match self.move_object(&listed, progress).await {
                    Ok(Outcome::Moved) => progress.moved(&listed, "moved"),
                    Ok(Outcome::Finished) => progress.moved(&listed, "copied before, now moved"),
                    Ok(Outcome::Skipped(skip)) => progress.kept(&listed, skip),
                    Err(error) => progress.failed(&listed.key, &error),
                }
            })
            .await;
        Ok(())
    }

    fn listed(&self) -> impl Stream<Item = Result<Listed, StoreError>> {
        // `Some(None)`: the first page comes next.
        let pages =
            futures_util::stream::try_unfold(Some(None::<String>), move |page| async move {
                let Some(page) = page else { return Ok(None) };
                let listing = self.from.list(&self.rule.prefix, page.as_deref()).await?;
                let objects = futures_util::stream::iter(listing.objects.into_iter().map(Ok));
                Ok::<_, StoreError>(Some((objects, listing.next.map(Some))))
            });
        pages.try_flatten()
    }

    /// Whether what is written to the archive appears in the origin. Addresses may differ and lead to
    /// one place all the same, and then each object would be its own copy.
    async fn probe(&self) -> Result<(), StartError> {
        let key = format!("{RESERVED}records/probe-{:032x}", fastrand::u128(..));
        let unusable = |name| move |error| StartError::Store(name, error);
        let origin = match self.options.direction {
            Direction::Archive => &self.from,
            Direction::Restore => &self.to,
        };
        let (none, note) = (Attributes::default(), Bytes::from_static(b"{}"));
        let written = self.notes.put(&key, &none, note, &Condition::Always).await;
        written.map_err(unusable("archive"))?;
        let seen = origin.head(&key).await.map_err(unusable("origin"));
        let removed = self.notes.delete(&key, None).await;
        match seen? {
            Some(_) => Err(StartError::SamePlace),
            None => removed.map_err(unusable("archive")),
        }
    }

    async fn move_object(
        &self,
        listed: &Listed,
        progress: &Progress,
    ) -> Result<Outcome, MoveError> {
        let key = listed.key.as_str();
        let Some(source) = self.from.head(key).await.map_err(MoveError::Read)? else {
            return Ok(Outcome::Skipped(Skip::Gone));
        };
        if rule::changed_since_listed(listed, &source) {
            return Ok(Outcome::Skipped(Skip::Changed));
        }
        let Some(version) = rule::strong_tag(&source) else {
            return Ok(Outcome::Skipped(Skip::NoEntityTag));
        };
        let there = match self.to.head(key).await {
            Ok(there) => there,
            Err(StoreError::Key(_)) => return Ok(Outcome::Skipped(Skip::NoSuchPath)),
            Err(error) => return Err(MoveError::ReadBack(error)),
        };
        let outcome = match self.equal(key, &source, there.as_ref(), progress).await? {
            true => Outcome::Finished,
            false => {
                let condition = match (there, self.options.existing) {
                    (None, _) => Condition::Absent,
                    (Some(_), Existing::Keep) => return Ok(Outcome::Skipped(Skip::Differs)),
                    (Some(there), Existing::Replace) => {
                        there.etag.map_or(Condition::Always, Condition::Match)
                    }
                };
                let written = self.copy(key, &source, &condition, progress).await;
                match written {
                    Ok(written) => self.read_back(key, &source, &written, progress).await?,
                    Err(MoveError::Write(StoreError::Key(_))) => {
                        return Ok(Outcome::Skipped(Skip::NoSuchPath));
                    }
                    Err(MoveError::Read(StoreError::Changed)) => {
                        return Ok(Outcome::Skipped(Skip::Changed));
                    }
                    Err(MoveError::Write(StoreError::Precondition)) => {
                        return Ok(Outcome::Skipped(Skip::Differs));
                    }
                    Err(error) => return Err(error),
                }
                Outcome::Moved
            }
        };
        match self.delete(key, &source, version).await? {
            true => Ok(outcome),
            false => Ok(Outcome::Skipped(Skip::Changed)),
        }
    }

    /// Whether the target has this very object already: a run was killed after it had copied it.
    async fn equal(
        &self,
        key: &str,
        source: &ObjectHead,
        there: Option<&ObjectHead>,
        progress: &Progress,
    ) -> Result<bool, MoveError> {
        let Some(there) = there else { return Ok(false) };
        if there.size != source.size || !there.attributes.same_as(&source.attributes) {
            return Ok(false);
        }
        let ours = self.hash(&*self.from, key, source.etag.as_deref(), progress);
        let theirs = self.hash(&*self.to, key, there.etag.as_deref(), progress);
        let (ours, theirs) = futures_util::join!(ours, theirs);
        let ours = ours.map_err(MoveError::Read)?;
        // A damaged copy is another object, which stays unless it may be replaced.
        match theirs {
            Ok(theirs) => Ok(theirs == ours),
            Err(StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(MoveError::ReadBack(error)),
        }
    }

    /// The copy, as the store gives it to readers from now on.
    async fn read_back(
        &self,
        key: &str,
        source: &ObjectHead,
        written: &read::Content,
        progress: &Progress,
    ) -> Result<(), MoveError> {
        let there = self.to.head(key).await.map_err(MoveError::ReadBack)?;
        let there = there.ok_or(MoveError::Unequal)?;
        if !there.attributes.same_as(&source.attributes) {
            return Err(MoveError::Attributes);
        }
        let read = self.hash(&*self.to, key, there.etag.as_deref(), progress);
        match read.await.map_err(MoveError::ReadBack)? == *written {
            true => Ok(()),
            false => Err(MoveError::Unequal),
        }
    }

    /// Deletes the source if it is still what was copied. `false` if it is not.
    async fn delete(
        &self,
        key: &str,
        source: &ObjectHead,
        version: &str,
    ) -> Result<bool, MoveError> {
        let now = self.from.head(key).await.map_err(MoveError::Read)?;
        if now.as_ref() != Some(source) {
            return Ok(false);
        }
        let deleted = match self.from.delete(key, Some(version)).await {
            // A store that refuses the condition, rather than ignoring it, was asked a moment ago.
            Err(StoreError::Unsupported) => self.from.delete(key, None).await,
            deleted => deleted,
        };
        let Err(error) = deleted else { return Ok(true) };
        // A delete whose answer was lost is answered otherwise when it is repeated.
        match (self.from.head(key).await, error) {
            (Ok(None), _) => Ok(true),
            (_, StoreError::Precondition) => Ok(false),
            (_, error) => Err(MoveError::Delete(error)),
        }
    }
}

/// Cutting a body into parts fails by the body, which is the source's.
fn unreadable(error: UploadError) -> MoveError {
    MoveError::Read(match error {
        UploadError::Store(error) => error,
        error => StoreError::Body(error.into()),
    })
}
