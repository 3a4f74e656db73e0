//! Where an address is, and which regions are near it. Knows nothing of HTTP.
//!
//! A request meets the modules in the order below: its address is unwrapped and looked up in the
//! tables in service, which gives a [`Location`]; a [`CostTable`] ranks the regions for it.
//!
//! ```
//! use geo_db::{CostTable, GeoDb, RegionPoint, region};
//!
//! let fleet: Vec<RegionPoint> =
//!     ["nyc3", "ams3", "sgp1"].iter().filter_map(|slug| region(slug)).map(RegionPoint::from).collect();
//! let costs = CostTable::new(&fleet)?; // once per fleet
//!
//! let db = GeoDb::embedded();
//! let location = db.lookup([81, 2, 69, 142].into()); // lock-free, no allocation
//! assert_eq!(location.country.map(|country| country.to_string()).as_deref(), Some("GB"));
//! assert_eq!(fleet[costs.nearest(&location)[0].index].name.as_str(), "ams3");
//! # Ok::<(), geo_db::TooManyRegions>(())
//! ```
//!
//! Invariants: a lookup takes no lock and allocates nothing; tables are replaced whole or not at
//! all; no byte of a data file can make this crate panic.

mod db;

mod address;

mod location;

mod proximity;

mod rtt;

mod distance;

mod catalogue;

mod layer;

mod table;

mod sources;

mod mmdb;

mod range_csv;

mod embedded;

mod compact;

mod countries;

mod watch;

pub mod build;

mod error;

pub use address::unwrap_embedded_v4;
pub use catalogue::{Offered, Region, catalogue, region};
pub use compact::CompactError;
pub use db::{GeoDb, Info, ReloadCounts, Reloaded, Role, SourceInfo};
pub use distance::great_circle_km;
pub use error::{OpenError, RowError};
pub use location::{Country, Location, NotACountry, NotARegionSlug, Point, RegionSlug, Source};
pub use proximity::{
    CostTable, MAX_REGIONS, Ranked, Ranking, RegionPoint, TooManyRegions, expected_rtt, nearest,
};
pub use sources::Sources;
pub use watch::{WatchError, Watcher};
