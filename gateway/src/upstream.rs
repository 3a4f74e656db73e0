//! A named service that routes point to: upstream → endpoint → connection.

mod balance;

mod consistent;

mod connect;

mod health_check;

mod retry;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio::time::Instant;

use self::consistent::Seed;

pub use self::connect::{Client, Roots, client, mutual_client, roots};
pub(crate) use self::health_check::run as run_health_checks;
pub use self::retry::RetryBudget;

/// A service and how it is called.
#[derive(Debug)]
pub struct Upstream {
    /// Name in routes, logs and metrics.
    pub name: Box<str>,
    /// Its addresses in this region. Empty where another region has it.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Which of its endpoints a request goes to.
    pub balance: Balance,
    /// Its timers.
    pub timeouts: Timeouts,
    /// How its endpoints are checked; `None` where they are not.
    pub health_check: Option<HealthCheck>,
    /// Bounds how many of its requests may be retries.
    pub retry_budget: RetryBudget,
    /// Counts those retries.
    pub retries: prometheus::IntCounter,
    /// Its connections.
    pub client: Client,
}

/// Which of several endpoints a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less loaded of two chosen at random.
    LeastLoaded,
    /// The one that holds the object: asset servers, each with disks of its own.
    CacheKey,
}

/// The timers of a request to an upstream. Each cut names its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// From the end of the request until the response's headers.
    pub first_byte: Duration,
    /// Between two frames of a response body.
    pub idle: Duration,
}

/// The active check of an upstream's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path that answers 2xx while the endpoint is well.
    pub path: Box<str>,
    /// Time between checks.
    pub interval: Duration,
    /// Time an answer may take.
    pub timeout: Duration,
}

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    seed: Seed,
    in_flight: AtomicUsize,
    made: Instant,
    /// Milliseconds after `made` when it was last found to be down; 0 while it is well.
    down_at: AtomicU64,
}

/// How long an endpoint that nobody checks is left alone after a connection failed. Then one request tries.
const LEFT_ALONE: Duration = Duration::from_secs(5);

impl Endpoint {
    /// An endpoint that is taken to be well.
    pub fn new(scheme: Scheme, authority: Authority) -> Self {
        Self {
            seed: Seed::of(&format!("{scheme}://{authority}")),
            scheme,
            authority,
            in_flight: AtomicUsize::new(0),
            made: Instant::now(),
            down_at: AtomicU64::new(0),
        }
    }

    /// Whether its last check or connection failed.
    pub fn is_down(&self) -> bool {
        self.down_at.load(Ordering::Relaxed) != 0
    }

    /// Requests it is working on for us.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes in whether it could be reached. Returns whether that is news.
    pub fn set_down(&self, down: bool) -> bool {
        let at = if down { self.clock() } else { 0 };
        (self.down_at.swap(at, Ordering::Relaxed) != 0) != down
    }

    /// Whether it has been left alone for long enough after a connection failed. Says so once, then only
    /// after as long again, so that one request tries and not all.
    fn is_due(&self) -> bool {
        let (at, now) = (self.down_at.load(Ordering::Relaxed), self.clock());
        let due = at != 0 && u128::from(now.saturating_sub(at)) >= LEFT_ALONE.as_millis();
        due && self
            .down_at
            .compare_exchange(at, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Milliseconds since it was made, from 1 on.
    fn clock(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).map_or(u64::MAX, |now| now.max(1))
    }
}

/// A request's claim on an endpoint, until its response has ended.
#[derive(Debug)]
pub struct Claim(Arc<Endpoint>);

impl Claim {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    /// Whether one of its endpoints here can be used, as far as checks and connections tell.
    pub fn is_reachable(&self) -> bool {
        self.endpoints.iter().any(|endpoint| !endpoint.is_down())
    }

    /// Claims an endpoint for a request with this path, among those that are well and not in `tried`. While
    /// none is well, any will do: a check may be wrong, and nothing is surely nothing.
    pub fn claim(&self, path: &str, tried: &[Arc<Endpoint>]) -> Option<Claim> {
        let endpoint = match self.balance {
            Balance::LeastLoaded => self.least_loaded(tried),
            Balance::CacheKey => self.holder(path, tried),
        }?;
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Claim(endpoint.clone()))
    }

    /// The endpoint whose share the path is in. The cache key of an asset server is the normalised path;
    /// what it refuses as a path may go anywhere. All slices of a large object share its path, so one
    /// endpoint holds it whole and knows its one version.
    fn holder(&self, path: &str, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        let key = asset_server::cache::key::normalize(path).unwrap_or(Cow::Borrowed(path));
        let seeds = self.endpoints.iter().map(|endpoint| endpoint.seed);
        let order = consistent::rank(key.as_bytes(), seeds);
        let untried = |endpoint: &Arc<Endpoint>| !tried.iter().any(|t| Arc::ptr_eq(t, endpoint));
        // Where nobody checks whether an endpoint is back, its own requests do, one at a time.
        let first = order
            .iter()
            .map(|place| &self.endpoints[*place])
            .find(|e| untried(e));
        if self.health_check.is_none()
            && let Some(first) = first.filter(|endpoint| endpoint.is_due())
        {
            return Some(first);
        }
        let load = |place: usize| {
            let endpoint = &self.endpoints[place];
            (!endpoint.is_down() && untried(endpoint)).then(|| endpoint.in_flight())
        };
        consistent::first_with_room(&order, load)
            .map(|place| &self.endpoints[place])
            .or(first)
    }

    fn least_loaded(&self, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        let untried =
            |endpoint: &&Arc<Endpoint>| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        let choose = |usable: &dyn Fn(&&Arc<Endpoint>) -> bool| {
            balance::least_loaded_of_two(
                self.endpoints.iter().filter(usable).count(),
                fastrand::usize,
                |index| {
                    self.endpoints
                        .iter()
                        .filter(usable)
                        .nth(index)
                        .map_or(usize::MAX, |endpoint| endpoint.in_flight())
                },
            )
            .and_then(|index| self.endpoints.iter().filter(usable).nth(index))
        };
        let well = |endpoint: &&Arc<Endpoint>| !endpoint.is_down() && untried(endpoint);
        choose(&well).or_else(|| choose(&untried))
    }
}

#[cfg(test)]
mod tests;
