//! What can be wrong with a data file, in words that say which file and what to do about it.

use std::io;
use std::path::PathBuf;

use maxminddb::MaxMindDbError;

/// A source of geo data could not be used. On reload, the tables in service stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a whole MaxMind-format database.
    #[error("{} is not a usable MaxMind database: damaged or cut short, download it again", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: MaxMindDbError,
    },
    /// A line of a CSV file means nothing.
    #[error("{} line {line}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: u64,
        /// What is wrong with it.
        source: RowError,
    },
    /// The file is well-formed but places no address.
    #[error("{} holds no network with a country, coordinates or a system number", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file was built before the one in service.
    #[error("{} was built {behind_s} seconds before the data in service, which stays", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// How much older it is, in seconds.
        behind_s: u64,
    },
    /// The file holds less than half the networks of the one in service: it was cut at a line end.
    #[error("{} holds {now} networks, the data in service {before}: cut short? restart to use it anyway", path.display())]
    Shrunk {
        /// The file.
        path: PathBuf,
        /// Networks in service.
        before: usize,
        /// Networks in the new file.
        now: usize,
    },
}

/// What is wrong with one line of a CSV file.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The line cannot be split into fields.
    #[error("not a CSV record")]
    Record(#[from] csv::Error),
    /// Fewer columns than the first line promises, or than any known shape has.
    #[error("too few columns: expected network,country,lat,lon or start,end,country")]
    Columns,
    /// Not an address or a network.
    #[error("`{0}` is not a network such as 192.0.2.0/24, nor an address")]
    Network(String),
    /// A range that runs backwards or mixes IPv4 and IPv6.
    #[error("the range from {0} to {1} is empty or mixes IPv4 and IPv6")]
    Range(String, String),
    /// Not a country code.
    #[error("`{0}` is not a two-letter country code such as DE")]
    Country(String),
    /// Not coordinates.
    #[error("`{0}, {1}` are not degrees of latitude and longitude")]
    Coordinates(String, String),
    /// Not a number where one is needed.
    #[error("`{0}` is not a number")]
    Number(String),
    /// Not a region name.
    #[error("`{0}`: a region name is 1 to 23 letters, digits, '-' or '_', such as nyc3")]
    Region(String),
}
