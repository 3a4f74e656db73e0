//! Links to the other regions: pooled connections that the exchanges of every second keep warm, what
//! they have shown, and the way that carried requests take. A request reads one atomic number here.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use tokio::sync::Notify;

use super::keys::Keys;
use super::path::{self, Path, Reach};
use super::quality::Quality;
use super::state::State;
use super::{Carried, identity};
use crate::error::Error;
use crate::region::{Address, MAX_REGIONS, Region, RegionIndex, RegionSet};
use crate::upstream::{Client, RetryBudget, Roots, client, mutual_client};

/// A third region's word about its own links counts for this long.
const FRESH: Duration = Duration::from_secs(5);

/// Timers of what is sent to other regions.
#[derive(Clone, Copy, Debug)]
pub struct LinkTimeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the response's headers.
    pub first_byte: Duration,
    /// Between two frames of a response body.
    pub idle: Duration,
}

/// Connections of one kind each.
#[derive(Debug)]
pub struct Clients {
    /// For everything that HTTP/2 can carry.
    pub http2: Client,
    /// For protocol upgrades.
    pub http1: Client,
}

/// The way to one region's gateway.
#[derive(Debug)]
pub struct Link {
    /// Where it is; none for our own region, unless it has siblings.
    pub address: Option<Address>,
    /// Whether both ends show certificates, so that records may be taken from it.
    pub mutual: bool,
    clients: ArcSwap<Clients>,
    quality: Mutex<Quality>,
    /// Wakes requests that wait for an answer over a link that has just been lost.
    pub(super) lost: Notify,
    /// Why the last exchange failed, for the log and the operator.
    pub(super) trouble: ArcSwapOption<String>,
    /// What was carried over it.
    pub(super) carried: Carried,
}

impl Link {
    /// Its present connections.
    pub fn clients(&self) -> Arc<Clients> {
        self.clients.load_full()
    }

    /// What it has shown.
    pub fn quality(&self) -> Quality {
        *self.quality.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last exchange failed, if it did.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    fn change(&self, change: impl FnOnce(Quality) -> Quality) {
        let mut quality = self.quality.lock().unwrap_or_else(PoisonError::into_inner);
        *quality = change(*quality);
    }
}

/// All links of this gateway.
#[derive(Debug)]
pub struct Links {
    links: Vec<Link>,
    /// 0: nothing leads there; 1: direct; else 2 and the index of the third region.
    paths: [AtomicU8; MAX_REGIONS],
    own: RegionIndex,
    /// Whether third regions may carry for us.
    relay: bool,
    /// Timers of carried requests.
    pub timeouts: LinkTimeouts,
    /// Bounds how many carried requests may be retries.
    pub retry_budget: RetryBudget,
}

impl Links {
    /// Links to `regions`; mutual where there are `keys` and the region has an address for them.
    pub fn new(
        regions: &RegionSet,
        keys: Option<&Keys>,
        timeouts: LinkTimeouts,
        roots: &Roots,
        relay: bool,
        carried: impl Fn(&Region) -> Carried,
    ) -> Self {
        let link = |(index, region): (RegionIndex, &Region)| {
            let mutual = keys.filter(|_| region.mesh.is_some() || index == regions.own_index());
            let clients = match mutual {
                Some(keys) => mutual_clients(&keys.client, region, timeouts),
                None => Clients {
                    http2: client(true, timeouts.connect, roots),
                    http1: client(false, timeouts.connect, roots),
                },
            };
            let over_mesh = mutual.and(region.mesh.clone()).map(address);
            Link {
                address: over_mesh.or_else(|| region.address.clone()),
                mutual: mutual.is_some(),
                clients: ArcSwap::from_pointee(clients),
                quality: Mutex::default(),
                lost: Notify::new(),
                trouble: ArcSwapOption::empty(),
                carried: carried(region),
            }
        };
        Self {
            links: regions.iter().map(link).collect(),
            paths: [const { AtomicU8::new(1) }; MAX_REGIONS],
            own: regions.own_index(),
            relay,
            timeouts,
            retry_budget: RetryBudget::new(),
        }
    }

    /// The link to a region.
    pub fn of(&self, region: RegionIndex) -> &Link {
        &self.links[region.get()]
    }

    /// Connects with new key material from now on. Connections that stand finish what they carry.
    pub fn renew(&self, regions: &RegionSet, keys: &Keys) {
        for ((_, region), link) in regions.iter().zip(&self.links) {
            if link.mutual {
                let clients = mutual_clients(&keys.client, region, self.timeouts);
                link.clients.store(Arc::new(clients));
            }
        }
    }

    /// The way to a region now.
    pub fn path(&self, to: RegionIndex) -> Option<Path> {
        match self.paths[to.get()].load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Path::Direct),
            via => Some(Path::Via(RegionIndex(via - 2))),
        }
    }

    pub(super) fn asked(&self, region: RegionIndex, now: Instant) {
        self.of(region).change(|quality| quality.asked(now));
    }

    pub(super) fn answered(&self, region: RegionIndex, rtt: Duration) {
        self.of(region).change(|quality| quality.answered(rtt));
        self.of(region).trouble.store(None);
    }

    pub(super) fn failed(&self, region: RegionIndex, unreachable: bool) {
        let link = self.of(region);
        link.change(|quality| {
            if unreachable {
                quality.unreachable()
            } else {
                quality.failed()
            }
        });
        if link.quality().reach(Instant::now()) == Reach::Down {
            link.lost.notify_waiters();
        }
    }

    /// Our own round trips, in milliseconds, as others are told.
    pub(super) fn rtts(&self, regions: &RegionSet) -> impl Iterator<Item = (String, f32)> {
        regions.peers().filter_map(|(index, region)| {
            let rtt = self.of(index).quality().rtt()?;
            Some((region.name.to_string(), rtt.as_secs_f32() * 1000.0))
        })
    }

    /// Chooses all ways anew from what links and records say.
    pub(super) fn choose_paths(&self, regions: &RegionSet, state: &State, now: Instant) {
        for (to, region) in regions.peers() {
            let thirds = regions
                .peers()
                .filter(|(via, _)| self.relay && *via != to)
                .filter_map(|(via, _)| self.through(via, region, state, now));
            let present = self.path(to);
            let next = path::choose(self.of(to).quality().reach(now), thirds, present);
            if next != present {
                tracing::info!(
                    region = %region.name,
                    via = match next {
                        Some(Path::Via(via)) => regions.of(via).name.as_str(),
                        Some(Path::Direct) => "direct",
                        None => "nothing",
                    },
                    "the way to a region has changed"
                );
            }
            let code = match next {
                None => 0,
                Some(Path::Direct) => 1,
                Some(Path::Via(via)) => via.0 + 2,
            };
            self.paths[to.get()].store(code, Ordering::Relaxed);
        }
    }

    /// The round trip to `to` through `via`, if `via` has said lately that it reaches it. Only links of
    /// both kinds of certificates relay: others do not believe who a request is for.
    fn through(
        &self,
        via: RegionIndex,
        to: &Region,
        state: &State,
        now: Instant,
    ) -> Option<(RegionIndex, Duration)> {
        let link = self.of(via);
        let Reach::Up(near) = link.quality().reach(now) else {
            return None;
        };
        let heard = state.heard(via).filter(|_| link.mutual)?;
        if heard.age(now) > FRESH || heard.via.is_some() || heard.record.draining {
            return None;
        }
        let far = *heard.record.rtts.get(to.name.as_str())?;
        Some((via, near + Duration::from_secs_f32(far / 1000.0)))
    }

    /// The round trip to `to` through `via`, as far as it is known.
    pub(super) fn rtt_through(
        &self,
        via: RegionIndex,
        to: RegionIndex,
        regions: &RegionSet,
        state: &State,
        now: Instant,
    ) -> Option<Duration> {
        let (_, rtt) = self.through(via, regions.of(to), state, now)?;
        Some(rtt)
    }

    /// A request could not go this way: other ways are looked for at once, and the exchange of the next
    /// second says more.
    pub(super) fn way_failed(
        &self,
        to: RegionIndex,
        path: Path,
        error: &Error,
        regions: &RegionSet,
        state: &State,
    ) {
        let now = Instant::now();
        let next = match path {
            Path::Direct => to,
            Path::Via(via) => via,
        };
        if matches!(error, Error::Connect(_)) {
            self.failed(next, true);
            self.choose_paths(regions, state, now);
        } else if matches!(path, Path::Via(_)) {
            let direct = self.of(to).quality().reach(now) != Reach::Down;
            self.paths[to.get()].store(u8::from(direct), Ordering::Relaxed);
        } else {
            self.choose_paths(regions, state, now);
        }
    }

    /// Our own region: links to its other gateways have its name.
    pub(super) fn own(&self) -> &Link {
        self.of(self.own)
    }
}

fn mutual_clients(tls: &Arc<ClientConfig>, region: &Region, timeouts: LinkTimeouts) -> Clients {
    let name = identity::server_name(region.name.as_str());
    Clients {
        http2: mutual_client(true, timeouts.connect, tls, name.clone()),
        http1: mutual_client(false, timeouts.connect, tls, name),
    }
}

fn address(authority: Authority) -> Address {
    Address {
        scheme: Scheme::HTTPS,
        authority,
    }
}
