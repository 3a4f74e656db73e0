//! `GeoDb`: the tables in service, looked up without a lock and replaced whole.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::address::{classify, unwrap_embedded_v4};
use crate::embedded;
use crate::error::OpenError;
use crate::layer::Layer;
use crate::location::{Location, Source};
use crate::sources::{self, Sources};

/// Geo data in service. Clones share it, and a reload of one is a reload of all.
#[derive(Clone, Debug)]
pub struct GeoDb {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sources: Sources,
    tables: ArcSwap<Tables>,
    /// One reload at a time, so that an older read cannot overtake a newer one.
    reloading: Mutex<()>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// One generation of tables, highest precedence first.
#[derive(Debug)]
struct Tables {
    overrides: Option<Placed>,
    databases: Vec<Placed>,
    asn: Vec<Placed>,
    embedded: Arc<Layer>,
}

/// A layer and the file it came from.
#[derive(Debug)]
struct Placed {
    path: PathBuf,
    layer: Layer,
}

/// What a successful reload put in service.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    /// The sources now in service.
    pub info: Info,
}

/// What is in service.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// Each source, highest precedence first.
    pub sources: Vec<SourceInfo>,
}

/// One source in service.
#[derive(Clone, Debug, Serialize)]
pub struct SourceInfo {
    /// The role it plays.
    pub role: Role,
    /// The file; `None` for the embedded default.
    pub path: Option<PathBuf>,
    /// What the data calls itself, such as `GeoLite2-City`, or `csv`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When the data was built, where the file says.
    #[serde(serialize_with = "epoch_seconds")]
    pub built: Option<SystemTime>,
    /// Distinct IPv4 intervals after neighbours with one answer were merged.
    pub v4_intervals: usize,
    /// The same for IPv6.
    pub v6_intervals: usize,
    /// Bytes of memory held by the compiled table.
    pub bytes: usize,
}

/// The role of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Prefix overrides.
    Overrides,
    /// Countries or coordinates.
    Database,
    /// Autonomous system numbers only.
    Asn,
    /// The default built into this library.
    Embedded,
}

/// How reloads went since the process started, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// Reloads that put new tables in service.
    pub succeeded: u64,
    /// Reloads that kept the old tables.
    pub failed: u64,
}

impl GeoDb {
    /// The embedded default alone: country level, no file, no network.
    pub fn embedded() -> Self {
        Self::serving(Sources::default(), Tables::embedded_only())
    }

    /// Reads and compiles the given files over the embedded default. An address is answered by
    /// the overrides, else by the first database that knows it, else by the embedded table.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is damaged, or holds nothing of use.
    pub fn open(sources: &Sources) -> Result<Self, OpenError> {
        Ok(Self::serving(sources.clone(), Tables::read(sources)?))
    }

    fn serving(sources: Sources, tables: Tables) -> Self {
        let shared = Shared {
            sources,
            tables: ArcSwap::from_pointee(tables),
            reloading: Mutex::new(()),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Where an address is. Takes no lock and allocates nothing; IPv4 inside v4-mapped, 6to4 and
    /// Teredo addresses is looked up as IPv4. An address that no table knows gets a location
    /// without a point, whose source says why ([`Source::Private`] and so on).
    pub fn lookup(&self, ip: IpAddr) -> Location {
        self.shared.tables.load().lookup(unwrap_embedded_v4(ip))
    }

    /// Where an address is, and the length of the shortest prefix around it within which every address has
    /// that place: what an answer for this client is good for (the scope of RFC 7871). Autonomous systems are
    /// left out, as they decide nothing. For an address with another one embedded the prefix is its own
    /// alone.
    pub fn lookup_with_prefix(&self, ip: IpAddr) -> (Location, u8) {
        let unwrapped = unwrap_embedded_v4(ip);
        let (location, prefix_len) = self.shared.tables.load().lookup_with_prefix(unwrapped);
        match ip {
            IpAddr::V6(_) if unwrapped.is_ipv4() => (location, 128),
            _ => (location, prefix_len),
        }
    }

    /// Reads the files again and, if all of them are whole and none is older than what is in
    /// service, replaces the tables at once. Blocks for as long as reading and compiling take
    /// (seconds for a city database): call it off the request path.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used; the old tables stay in service.
    pub fn reload(&self) -> Result<Reloaded, OpenError> {
        let _one_at_a_time = self
            .shared
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = Tables::read(&self.shared.sources).and_then(|next| {
            self.shared.tables.load().check_successor(&next)?;
            Ok(next)
        });
        let counter = if next.is_ok() {
            &self.shared.reloads
        } else {
            &self.shared.failed_reloads
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let next = next?;
        let info = next.info();
        self.shared.tables.store(Arc::new(next));
        Ok(Reloaded { info })
    }

    /// What is in service.
    pub fn info(&self) -> Info {
        self.shared.tables.load().info()
    }

    /// How reloads went so far.
    pub fn reload_counts(&self) -> ReloadCounts {
        ReloadCounts {
            succeeded: self.shared.reloads.load(Ordering::Relaxed),
            failed: self.shared.failed_reloads.load(Ordering::Relaxed),
        }
    }

    /// The files that this database was opened with.
    pub fn sources(&self) -> &Sources {
        &self.shared.sources
    }
}

// === impl Tables ===

impl Tables {
    fn embedded_only() -> Self {
        Self {
            overrides: None,
            databases: Vec::new(),
            asn: Vec::new(),
            embedded: embedded::layer(),
        }
    }

    fn read(sources: &Sources) -> Result<Self, OpenError> {
        let place = |path: &PathBuf, source| {
            Ok(Placed {
                path: path.clone(),
                layer: sources::compile(path, source)?,
            })
        };
        let place_all = |paths: &[PathBuf]| -> Result<Vec<Placed>, OpenError> {
            paths
                .iter()
                .map(|path| place(path, Source::Database))
                .collect()
        };
        Ok(Self {
            overrides: sources
                .overrides
                .as_ref()
                .map(|path| place(path, Source::Override))
                .transpose()?,
            databases: place_all(&sources.databases)?,
            asn: place_all(&sources.asn)?,
            embedded: embedded::layer(),
        })
    }

    #[inline]
    fn lookup(&self, ip: IpAddr) -> Location {
        let mut location = match self
            .overrides
            .as_ref()
            .and_then(|overrides| overrides.layer.get(ip))
        {
            // An override that only pins a region leaves the place to the layers below.
            Some(found) if found.country.is_none() && found.point.is_none() => {
                let asn = found.asn;
                let below = self.lookup_below(ip);
                Location {
                    pinned: found.pinned,
                    source: Source::Override,
                    asn: asn.or(below.asn),
                    ..below
                }
            }
            Some(found) => *found,
            None => self.lookup_below(ip),
        };
        if location.asn.is_none() && !self.asn.is_empty() {
            location.asn = self.asn.iter().find_map(|asn| asn.layer.get(ip)?.asn);
        }
        location
    }

    fn lookup_with_prefix(&self, ip: IpAddr) -> (Location, u8) {
        // Every layer that was asked has a say: in a wider prefix it might answer something else.
        let mut prefix_len = 0;
        let mut ask = |layer: &Layer| {
            let (found, narrow) = layer.get_with_prefix(ip);
            prefix_len = prefix_len.max(narrow);
            found.copied()
        };
        let own = self
            .overrides
            .as_ref()
            .and_then(|placed| ask(&placed.layer));
        let is_whole = |found: &Location| found.country.is_some() || found.point.is_some();
        let location = match own.filter(is_whole) {
            Some(found) => found,
            None => {
                let databases = self.databases.iter().find_map(|placed| ask(&placed.layer));
                let below = databases.or_else(|| ask(&self.embedded));
                let below = below.unwrap_or_else(|| Location::nowhere(classify(ip)));
                match own {
                    Some(pin) => Location {
                        pinned: pin.pinned,
                        source: Source::Override,
                        ..below
                    },
                    None => below,
                }
            }
        };
        (location, prefix_len)
    }

    #[inline]
    fn lookup_below(&self, ip: IpAddr) -> Location {
        let databases = self
            .databases
            .iter()
            .find_map(|database| database.layer.get(ip));
        match databases.or_else(|| self.embedded.get(ip)) {
            Some(found) => *found,
            None => Location::nowhere(classify(ip)),
        }
    }

    /// Whether `next` may replace this generation: no file older, none cut to less than half.
    fn check_successor(&self, next: &Self) -> Result<(), OpenError> {
        let data = |tables: &Self| -> Vec<(PathBuf, Option<SystemTime>, usize)> {
            let facts = |placed: &Placed| {
                let (v4, v6) = placed.layer.intervals();
                (placed.path.clone(), placed.layer.built, v4 + v6)
            };
            tables
                .databases
                .iter()
                .chain(&tables.asn)
                .map(facts)
                .collect()
        };
        for ((path, built, before), (_, next_built, now)) in data(self).into_iter().zip(data(next))
        {
            let behind = built
                .zip(next_built)
                .and_then(|(built, next)| built.duration_since(next).ok());
            if let Some(behind) = behind.filter(|behind| !behind.is_zero()) {
                return Err(OpenError::Older {
                    path,
                    behind_s: behind.as_secs(),
                });
            }
            if now < before / 2 {
                return Err(OpenError::Shrunk { path, before, now });
            }
        }
        Ok(())
    }

    fn info(&self) -> Info {
        let describe = |role: Role, path: Option<&Path>, layer: &Layer| {
            let (v4_intervals, v6_intervals) = layer.intervals();
            let (kind, built, bytes) = (layer.kind.clone(), layer.built, layer.bytes());
            SourceInfo {
                role,
                path: path.map(Path::to_owned),
                kind,
                built,
                v4_intervals,
                v6_intervals,
                bytes,
            }
        };
        let placed =
            |role: Role| move |placed: &Placed| describe(role, Some(&placed.path), &placed.layer);
        let sources = (self.overrides.iter().map(placed(Role::Overrides)))
            .chain(self.databases.iter().map(placed(Role::Database)))
            .chain(self.asn.iter().map(placed(Role::Asn)))
            .chain([describe(Role::Embedded, None, &self.embedded)]);
        Info {
            sources: sources.collect(),
        }
    }
}

fn epoch_seconds<S: serde::Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).serialize(serializer)
}
