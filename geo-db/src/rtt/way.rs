//! The kinds of way between two places, and what each costs.

/// Round-trip milliseconds per kilometre of straight fibre: light covers about 200 km a
/// millisecond in glass, there and back.
const MS_PER_KM: f32 = 0.01;

/// A kind of way. Each costs a fixed time for its equipment and a time per kilometre of great
/// circle, times how far such ways stray from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A submarine cable that crosses an ocean, or follows the bends named in the table.
    Sea,
    /// A submarine system that hugs coasts and islands, with many landings.
    Coast,
    /// Long-haul fibre on land.
    Land,
    /// Fibre on land where it is scarce, or where one carrier rules: detours and queues.
    Rough,
}

impl Way {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "sea" => Self::Sea,
            "coast" => Self::Coast,
            "land" => Self::Land,
            "rough" => Self::Rough,
            _ => return None,
        })
    }

    pub(crate) fn ms(self, km: f32) -> f32 {
        let (fixed, stray) = match self {
            Self::Sea => (1.0, 1.22),
            Self::Coast => (1.0, 1.4),
            Self::Land => (1.0, 1.6),
            Self::Rough => (2.0, 2.1),
        };
        fixed + km * MS_PER_KM * stray
    }
}

/// How users and hubs of an area reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// Europe: dense, many carriers, all exchange in a few cities.
    Europe,
    /// The United States and Canada: dense, long straight rights of way.
    NorthAmerica,
    /// Rich networks elsewhere: Japan, Korea, Singapore, Australia, the Gulf.
    Dense,
    /// The usual case.
    Plain,
    /// Few carriers: much of Africa, Central Asia, the islands.
    Sparse,
    /// Mainland China: whatever leaves goes through a few gateways, so the hub of a neighbour is no
    /// way in, however near.
    Walled,
    /// A bend of a cable in the sea, where nobody lives.
    Waypoint,
}

impl Area {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "europe" => Self::Europe,
            "north-america" => Self::NorthAmerica,
            "dense" => Self::Dense,
            "plain" => Self::Plain,
            "sparse" => Self::Sparse,
            "walled" => Self::Walled,
            "waypoint" => Self::Waypoint,
            _ => return None,
        })
    }

    /// Milliseconds between a user and a hub of this area, last mile left out.
    pub(crate) fn access_ms(self, km: f32) -> f32 {
        let stray = match self {
            Self::Europe | Self::NorthAmerica => 1.8,
            Self::Dense => 1.7,
            Self::Plain | Self::Walled => 2.2,
            Self::Sparse | Self::Waypoint => 2.6,
        };
        0.5 + km * MS_PER_KM * stray
    }

    /// Milliseconds between any two hubs of an area that is meshed: no cable needs to be listed.
    pub(crate) fn mesh_ms(self, km: f32) -> Option<f32> {
        match self {
            Self::Europe => Some(1.0 + km * MS_PER_KM * 1.75),
            Self::NorthAmerica => Some(1.5 + km * MS_PER_KM * 1.55),
            _ => None,
        }
    }
}
