//! A named service that routes point to: upstream → endpoint → connection.

mod balance;

mod connect;

mod health_check;

mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::{Authority, Scheme};

pub use self::connect::{Client, Roots, client, roots};
pub(crate) use self::health_check::run as run_health_checks;
pub use self::retry::RetryBudget;

/// A service and how it is called.
#[derive(Debug)]
pub struct Upstream {
    /// Name in routes, logs and metrics.
    pub name: Box<str>,
    /// Its addresses in this region. Empty where another region has it.
    pub endpoints: Vec<Arc<Endpoint>>,
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
    in_flight: AtomicUsize,
    down: AtomicBool,
}

impl Endpoint {
    /// An endpoint that is taken to be well.
    pub fn new(scheme: Scheme, authority: Authority) -> Self {
        Self {
            scheme,
            authority,
            in_flight: AtomicUsize::new(0),
            down: AtomicBool::new(false),
        }
    }

    /// Whether its last check or connection failed.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Requests it is working on for us.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes in whether it could be reached. Returns whether that is news.
    pub fn set_down(&self, down: bool) -> bool {
        self.down.swap(down, Ordering::Relaxed) != down
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
    /// Claims the better of two endpoints chosen at random among those that are well and not in
    /// `tried`. While none is well, any will do: a check may be wrong, and nothing is surely nothing.
    pub fn claim(&self, tried: &[Arc<Endpoint>]) -> Option<Claim> {
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
        let endpoint = choose(&well).or_else(|| choose(&untried))?;
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Claim(endpoint.clone()))
    }
}

#[cfg(test)]
mod tests;
