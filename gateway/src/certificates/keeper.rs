//! Keeps one name's certificate: takes what the store has, and orders a new one when it is due and nobody
//! else does. One task a name.
//!
//! The store is asked every `poll_interval`. When it fails, what is served goes on; nothing is ordered,
//! since without the store nobody else would get the certificate, and two regions would order at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use asset_server::store::Condition;
use instant_acme::CertificateIdentifier;

use super::certificate::{Served, Stored};
use super::challenges::Challenge;
use super::lease::{self, Note, Sight, Turn};
use super::order::{self, OrderError};
use super::renewal::{self, Window};
use super::vault::{Found, VaultError};
use super::{Shared, State};

/// How long after writing a lease it is read back, so that of two writers one sees the other where the
/// store does not know conditional writes.
const SETTLE: Duration = Duration::from_millis(500);

/// How often the authority is asked when it wants a renewal.
const ASK_FOR_WINDOW: Duration = Duration::from_secs(6 * 3600);

const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    state: Arc<State>,
    name: String,
    /// 0 to 1: where in the span of renewal this process begins.
    place: f64,
    served: Option<Served>,
    /// Whether `served` came from the authority that is configured.
    is_own: bool,
    sight: Sight,
    window: Option<Window>,
    window_asked: Option<Instant>,
    warned: Option<Instant>,
    /// Whether the store was read before.
    looked: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, state: Arc<State>, name: String) -> Self {
        Self {
            shared,
            state,
            name,
            place: fastrand::f64(),
            served: None,
            is_own: false,
            sight: Sight::default(),
            window: None,
            window_asked: None,
            warned: None,
            looked: false,
        }
    }

    pub(super) async fn run(mut self) {
        let drain = self.shared.drain.clone();
        self.recall().await;
        loop {
            let pause = tokio::select! {
                pause = self.step() => pause,
                () = drain.started() => break,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.started() => break,
            }
        }
        // A lease left behind would make the others wait for its end.
        if self.state.metrics.lease_held.get() > 0 {
            let _ = self.shared.vault.delete(&self.lease_object()).await;
        }
    }

    /// One look at the store and what follows from it. Returns the time until the next.
    async fn step(&mut self) -> Duration {
        let poll = self.shared.poll_interval;
        let looked = self.look().await;
        self.warn();
        match looked {
            Ok(()) => {}
            Err(error) => {
                self.shared.metrics.store_errors.inc();
                self.trouble(&error.to_string());
                return poll;
            }
        }
        let Some(served) = self.served.as_ref().filter(|_| self.is_own) else {
            return self.try_to_order().await;
        };
        let validity = served.validity;
        self.state.set_trouble(None);
        self.ask_for_window().await;
        let due = renewal::due(validity, self.window, self.place);
        match due.duration_since(SystemTime::now()) {
            Ok(left) => left.min(poll),
            Err(_) => self.try_to_order().await,
        }
    }

    /// Takes over certificate and challenges from the store.
    async fn look(&mut self) -> Result<(), VaultError> {
        self.shared.agree_on_keys().await?;
        let challenges = self.shared.challenge_object(&self.name);
        let challenges = self.shared.vault.get::<Vec<Challenge>>(&challenges).await?;
        let challenges = challenges.map(|found| found.value).unwrap_or_default();
        self.shared.answer(&self.name, &challenges, Instant::now());

        let object = self.certificate_object();
        match self.shared.vault.get::<Stored>(&object).await? {
            Some(found) => {
                self.adopt(&found.value, true).await;
                self.seal_anew(&object, &found).await?;
            }
            // Another authority's goes on being served until ours has made one.
            None if self.served.is_none() => {
                if let Ok(Some(found)) =
                    self.shared.vault.get::<Stored>(&self.latest_object()).await
                {
                    self.adopt(&found.value, false).await;
                }
            }
            None => self.is_own = false,
        }
        self.looked = true;
        Ok(())
    }

    /// What this machine kept from before, so that a restart needs no store.
    async fn recall(&mut self) {
        let Some(copy) = &self.shared.local_copy else {
            return;
        };
        match copy.get::<Stored>(&self.latest_object()).await {
            Ok(Some(found)) => self.adopt(&found.value, false).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(name = self.name, %error, "the local copy of a certificate cannot be read");
            }
        }
    }

    /// Serves a certificate if it was made later than the one that is served.
    async fn adopt(&mut self, stored: &Stored, is_own: bool) {
        let served = match stored.parse(&self.name) {
            Ok(served) => served,
            Err(error) => {
                self.trouble(&format!("the certificate in the store: {error}"));
                return;
            }
        };
        let before = self.served.as_ref().map(|served| served.validity);
        if before == Some(served.validity) {
            self.is_own |= is_own;
            return;
        }
        let switches = is_own && !self.is_own;
        if !switches && before.is_some_and(|before| before.from >= served.validity.from) {
            return;
        }
        self.shared.issued.install(&self.name, &served.certified);
        let until = served.validity.until.duration_since(SystemTime::UNIX_EPOCH);
        self.state
            .metrics
            .expiry
            .set(until.unwrap_or_default().as_secs_f64());
        tracing::info!(
            name = self.name,
            ordered_by = stored.ordered_by,
            valid_for_seconds = served.validity.left(SystemTime::now()).as_secs(),
            "a certificate is served"
        );
        self.state.set_served(Some(served.validity));
        self.served = Some(served);
        self.is_own = is_own;
        self.window = None;
        self.window_asked = None;
        if let Some(copy) = &self.shared.local_copy
            && let Err(error) = copy
                .put(&self.latest_object(), stored, &Condition::Always)
                .await
        {
            tracing::warn!(name = self.name, %error, "no local copy of a certificate was kept");
        }
    }

    /// After a rotation of keys, objects are sealed with the new one.
    async fn seal_anew(&self, object: &str, found: &Found<Stored>) -> Result<(), VaultError> {
        // At the first look only: while keys are rotated, regions seal with different ones, and would do each
        // other's work over at every poll.
        if found.current_key || self.looked {
            return Ok(());
        }
        let condition = found
            .etag
            .clone()
            .map_or(Condition::Always, Condition::Match);
        match self
            .shared
            .vault
            .put(object, &found.value, &condition)
            .await
        {
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                let latest = self.latest_object();
                self.shared
                    .vault
                    .put(&latest, &found.value, &Condition::Always)
                    .await
            }
        }
    }

    async fn try_to_order(&mut self) -> Duration {
        let poll = self.shared.poll_interval;
        match self.take_lease().await {
            Ok(Lease::Taken(note, written)) => self.order_holding(note, written).await,
            Ok(Lease::Wait(left)) => return left.min(poll),
            Err(error) => {
                self.shared.metrics.store_errors.inc();
                self.trouble(&error.to_string());
            }
        }
        // What was ordered, here or elsewhere, is taken over at once.
        poll.min(SETTLE)
    }

    async fn take_lease(&mut self) -> Result<Lease, VaultError> {
        let object = self.lease_object();
        let found = self.shared.vault.get::<Note>(&object).await?;
        let note = found.as_ref().map(|found| &found.value);
        if let Turn::Wait(left) = self.sight.turn(note, Instant::now()) {
            if let Some(note) = note.filter(|note| note.holder.is_none()) {
                self.state
                    .set_trouble(Some(format!("the last order failed: {}", note.reason)));
            }
            return Ok(Lease::Wait(left));
        }
        let own = Note::held(&self.shared.holder, self.shared.lease, note);
        let condition = match &found {
            None => Condition::Absent,
            Some(Found {
                etag: Some(etag), ..
            }) => Condition::Match(etag.clone()),
            Some(_) => Condition::Always,
        };
        let written = Instant::now();
        match self.shared.vault.put(&object, &own, &condition).await {
            Ok(()) => {}
            Err(error) if error.is_conflict() => return Ok(Lease::Wait(SETTLE)),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(SETTLE).await;
        let read = self.shared.vault.get::<Note>(&object).await?;
        if read.is_none_or(|read| read.value != own) {
            return Ok(Lease::Wait(SETTLE));
        }
        // Whoever had the lease before may have finished in between.
        let stored = self
            .shared
            .vault
            .get::<Stored>(&self.certificate_object())
            .await?;
        let from = self
            .served
            .as_ref()
            .filter(|_| self.is_own)
            .map(|served| served.validity.from);
        let newer = stored
            .as_ref()
            .and_then(|found| found.value.parse(&self.name).ok());
        if newer.is_some_and(|newer| from.is_none_or(|from| newer.validity.from > from)) {
            self.shared.vault.delete(&object).await?;
            return Ok(Lease::Wait(Duration::ZERO));
        }
        Ok(Lease::Taken(own, written))
    }

    async fn order_holding(&mut self, note: Note, written: Instant) {
        self.state.metrics.lease_held.set(1);
        tracing::info!(
            name = self.name,
            failures = note.failures,
            "ordering a certificate"
        );
        let replaces = self
            .served
            .as_ref()
            .filter(|_| self.is_own && self.window.is_some());
        let replaces = replaces.and_then(identifier);
        let (lease, name, shared) = (self.lease_object(), self.name.clone(), self.shared.clone());
        let mut note = note;
        let ordered = tokio::select! {
            ordered = order::order(&shared, &name, replaces) => ordered,
            () = keep_lease(&shared, &lease, &mut note, written) => Err(OrderError::LeaseLost),
        };
        let ordered = match ordered {
            Ok(stored) => self.publish(stored).await,
            Err(error) => Err(error),
        };
        let outcome = ordered
            .as_ref()
            .map_or_else(OrderError::outcome, |()| "issued");
        self.shared.metrics.order(outcome);
        let challenges = self.shared.challenge_object(&self.name);
        self.shared.answer(&self.name, &[], Instant::now());
        let _ = self.shared.vault.delete(&challenges).await;
        let released = match ordered {
            Ok(()) => self.shared.vault.delete(&lease).await,
            Err(OrderError::LeaseLost) => Ok(()),
            Err(error) => {
                let asked = self.shared.client.take_retry_after();
                let failures = note.failures.saturating_add(1);
                let pause = renewal::pause(
                    self.shared.acme.backoff,
                    failures,
                    asked,
                    error.is_rate_limit(),
                );
                self.trouble(&format!(
                    "{error}; all regions wait for {}s",
                    pause.as_secs()
                ));
                let failed = Note::failed(&note, pause, error.to_string());
                self.shared
                    .vault
                    .put(&lease, &failed, &Condition::Always)
                    .await
            }
        };
        if let Err(error) = released {
            tracing::warn!(name = self.name, %error, "the lease was not given back; it ends by itself");
        }
        self.state.metrics.lease_held.set(0);
    }

    /// Writes a new certificate for all, and serves it.
    async fn publish(&mut self, stored: Stored) -> Result<(), OrderError> {
        stored.parse(&self.name)?;
        let object = self.certificate_object();
        // An object that does not open is somebody's whose key we lack: the keeper has said so and orders
        // nothing. What is there now is what this order was for.
        self.shared
            .vault
            .put(&object, &stored, &Condition::Always)
            .await?;
        let _ = self
            .shared
            .vault
            .put(&self.latest_object(), &stored, &Condition::Always)
            .await;
        self.adopt(&stored, true).await;
        Ok(())
    }

    /// Asks the authority when it wants a renewal, where it says so (RFC 9773).
    async fn ask_for_window(&mut self) {
        let now = Instant::now();
        let Some(served) = &self.served else { return };
        if self
            .window_asked
            .is_some_and(|asked| now.saturating_duration_since(asked) < ASK_FOR_WINDOW)
        {
            return;
        }
        self.window_asked = Some(now);
        let Some(identifier) = identifier(served) else {
            return;
        };
        let shared = &self.shared;
        let asked = async {
            let account = order::account(&shared.acme, &shared.client, &shared.vault).await?;
            Ok::<_, OrderError>(account.renewal_info(&identifier).await?.0)
        };
        match asked.await {
            Ok(info) => {
                let window = info.suggested_window;
                self.window = Some(Window {
                    start: window.start.into(),
                    end: window.end.into(),
                });
            }
            Err(error) => tracing::debug!(name = self.name, %error, "no renewal information"),
        }
    }

    fn warn(&mut self) {
        let Some(validity) = self.served.as_ref().map(|served| served.validity) else {
            return;
        };
        let (wall, now) = (SystemTime::now(), Instant::now());
        let recently = |at: Instant| now.saturating_duration_since(at) < WARN_EVERY;
        if renewal::is_alarming(validity, wall) && !self.warned.is_some_and(recently) {
            self.warned = Some(now);
            let left = validity.left(wall).as_secs();
            tracing::warn!(
                name = self.name,
                left_seconds = left,
                "a certificate runs out and was not renewed"
            );
        }
    }

    /// Says what is wrong: in the log once, and in readiness until it is over.
    fn trouble(&self, what: &str) {
        if self.state.set_trouble(Some(what.to_owned())) {
            tracing::error!(
                name = self.name,
                error = what,
                "trouble with a certificate; what is served goes on"
            );
        }
    }

    fn certificate_object(&self) -> String {
        format!("{}/certificates/{}", self.shared.acme.folder, self.name)
    }

    fn lease_object(&self) -> String {
        format!("{}/leases/{}", self.shared.acme.folder, self.name)
    }

    fn latest_object(&self) -> String {
        format!("latest/{}", self.name)
    }
}

enum Lease {
    Taken(Note, Instant),
    Wait(Duration),
}

/// Renews the lease while the order goes on; ends when it is lost.
async fn keep_lease(shared: &Shared, object: &str, note: &mut Note, mut written: Instant) {
    loop {
        tokio::time::sleep(shared.lease / 3).await;
        let now = Instant::now();
        match shared.vault.get::<Note>(object).await {
            Ok(Some(found)) if found.value == *note => {
                let next = Note::held(&shared.holder, shared.lease, Some(note));
                let condition = found.etag.map_or(Condition::Always, Condition::Match);
                match shared.vault.put(object, &next, &condition).await {
                    Ok(()) => (*note, written) = (next, now),
                    Err(error) if error.is_conflict() => return,
                    Err(_) => {}
                }
            }
            Ok(_) => return,
            Err(_) => {}
        }
        if !lease::is_held(written, shared.lease, Instant::now()) {
            return;
        }
    }
}

fn identifier(served: &Served) -> Option<CertificateIdentifier<'static>> {
    let leaf = served.certified.end_entity_cert().ok()?;
    let identifier: CertificateIdentifier<'_> = leaf.try_into().ok()?;
    Some(identifier.into_owned())
}
