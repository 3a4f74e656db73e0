//! Runs cases: many at once, the steps of each in order.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use crate::case::{Case, Family, Step};
use crate::client::{Client, Protocol};
use crate::expectation::{self, Happened};
use crate::origin::{Origin, Script};
use crate::proxy::Proxy;

/// How many cases run at the same time, unless one of them is to be alone.
pub(crate) const AT_ONCE: usize = 48;

/// How long something in the background may take; only a failure takes that long.
const BACKGROUND: Duration = Duration::from_secs(3);

/// How long nothing more may happen, where a count is to be exact.
const QUIET: Duration = Duration::from_millis(60);

/// What became of one case.
pub(crate) struct Outcome {
    pub(crate) family: String,
    pub(crate) case: &'static Case,
    pub(crate) protocol: Protocol,
    /// The step that failed, counted from 1, and the differences.
    pub(crate) failure: Option<(usize, Vec<String>)>,
}

/// Runs every case that is about `protocol` and has the text `only`.
pub(crate) async fn all(
    families: &'static [Family],
    only: &str,
    origin: &Origin,
    proxy: &Proxy,
    protocol: Protocol,
    at_once: usize,
) -> Vec<Outcome> {
    let client = proxy.client(protocol);
    let cases = families.iter().flat_map(|family| {
        let numbered = family.cases.iter().enumerate();
        numbered.map(|(number, case)| (family.name.clone(), number, case))
    });
    let chosen = cases.filter(|(family, _, case)| {
        let named = [family, &case.name].iter().any(|text| text.contains(only))
            || case.clauses().any(|clause| clause.contains(only));
        named && case.only.is_none_or(|about| about == protocol)
    });
    let runs: Vec<_> = chosen
        .map(|(family, number, case)| {
            let path = format!("/{}/{family}/{number}/x", protocol.as_str());
            let client = client.clone();
            async move {
                // One before may have started another process.
                let client = match at_once {
                    1 => proxy.client(protocol),
                    _ => client,
                };
                let run = Run::new(path, case, origin, proxy, (protocol, client));
                let failure = run.steps().await;
                Outcome {
                    family,
                    case,
                    protocol,
                    failure,
                }
            }
        })
        .collect();
    stream::iter(runs).buffered(at_once).collect().await
}

struct Run<'a> {
    path: String,
    steps: &'static [Step],
    script: Arc<Script>,
    proxy: &'a Proxy,
    protocol: Protocol,
    client: Client,
    now: SystemTime,
}

impl<'a> Run<'a> {
    fn new(
        path: String,
        case: &'static Case,
        origin: &Origin,
        proxy: &'a Proxy,
        (protocol, client): (Protocol, Client),
    ) -> Self {
        // Dates have whole seconds.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        Self {
            script: origin.script(&path, &case.steps, now),
            path,
            steps: &case.steps,
            proxy,
            protocol,
            client,
            now,
        }
    }

    /// The first step that failed, if one did.
    async fn steps(mut self) -> Option<(usize, Vec<String>)> {
        for (number, step) in self.steps.iter().enumerate() {
            tokio::time::sleep(Duration::from_secs_f64(step.wait)).await;
            let started = Instant::now();
            let mut differences = self.step(number, step).await;
            while step.eventually && !differences.is_empty() && started.elapsed() < BACKGROUND {
                tokio::time::sleep(Duration::from_millis(20)).await;
                differences = self.step(number, step).await;
            }
            if !differences.is_empty() {
                return Some((number + 1, differences));
            }
        }
        None
    }

    async fn step(&mut self, number: usize, step: &Step) -> Vec<String> {
        self.script.enter(number);
        if let Some(what) = &step.purge {
            return self
                .proxy
                .purge(&self.under_own_path(what))
                .await
                .err()
                .into_iter()
                .collect();
        }
        if step.restart {
            self.proxy.restart().await;
            self.client = self.proxy.client(self.protocol);
            return Vec::new();
        }
        let clients =
            (0..step.times).map(|_| self.client.send(&self.path, &step.request, self.now));
        let received = join_all(clients).await;
        let late = self.background(step).await;
        if step.expect.requests.is_some() {
            tokio::time::sleep(QUIET).await;
        }
        let seen = self.script.seen();
        let mut all: Vec<String> = received
            .iter()
            .flat_map(|received| match received {
                Ok(received) => expectation::differences(
                    &step.expect,
                    &Happened {
                        step: number,
                        received,
                        seen: &seen,
                        now: self.now,
                    },
                ),
                Err(error) => vec![error.clone()],
            })
            .collect();
        all.dedup();
        all.extend(late);
        all
    }

    /// The purge of the case, with its own path before what it names.
    fn under_own_path(&self, what: &Map<String, Value>) -> Value {
        let named = what.iter().map(|(word, suffix)| {
            let path = format!("{}{}", self.path, suffix.as_str().unwrap_or_default());
            (word.clone(), Value::String(path))
        });
        Value::Object(named.collect())
    }

    async fn background(&self, step: &Step) -> Option<String> {
        let wanted = step.expect.background?;
        let started = Instant::now();
        while self.script.seen().len() < wanted && started.elapsed() < BACKGROUND {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(QUIET).await;
        let asked = self.script.seen().len();
        (asked != wanted)
            .then(|| format!("the origin saw {asked} requests in the background, not {wanted}"))
    }
}
