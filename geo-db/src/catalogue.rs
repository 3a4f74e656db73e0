//! The catalogue of DigitalOcean regions: where each is, and what it offers. Data, in
//! `data/regions.csv`, so that a new region is one line there.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::location::{Point, RegionSlug};

/// A DigitalOcean region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Region {
    /// DigitalOcean's name for it, such as `nyc3`.
    pub slug: RegionSlug,
    /// City.
    pub name: &'static str,
    /// Approximate coordinates of the metro.
    pub point: Point,
    /// Whether Kubernetes (DOKS) is offered.
    pub has_doks: Offered,
    /// Whether Spaces is offered.
    pub has_spaces: Offered,
}

/// Whether a product is offered in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offered {
    /// Offered.
    Yes,
    /// Not offered.
    No,
    /// Nobody could confirm either: check the control panel before planning on it.
    Unknown,
}

impl Offered {
    /// One word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// All regions of the catalogue, in the order of the data file.
pub fn catalogue() -> &'static [Region] {
    &CATALOGUE
}

/// The region with this slug, if the catalogue has it.
pub fn region(slug: &str) -> Option<&'static Region> {
    catalogue()
        .iter()
        .find(|region| region.slug.as_str() == slug)
}

static CATALOGUE: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let text = include_str!("../data/regions.csv");
    text.lines().filter_map(parse).collect()
});

/// One line of the file; headings and comments are none. A test holds that no other line is lost.
fn parse(line: &'static str) -> Option<Region> {
    let mut fields = line.split(',');
    let mut field = || fields.next().map(str::trim);
    let slug = field()?.parse().ok()?;
    let name = field()?;
    let point = Point::new(field()?.parse().ok()?, field()?.parse().ok()?)?;
    let has_doks = offered(field()?)?;
    let has_spaces = offered(field()?)?;
    Some(Region {
        slug,
        name,
        point,
        has_doks,
        has_spaces,
    })
}

fn offered(word: &str) -> Option<Offered> {
    [Offered::Yes, Offered::No, Offered::Unknown]
        .into_iter()
        .find(|offered| offered.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_file_is_a_region() {
        let lines = include_str!("../data/regions.csv").lines();
        let rows = lines
            .filter(|line| !line.starts_with('#') && !line.starts_with("slug,"))
            .count();
        assert_eq!(catalogue().len(), rows);
        assert_eq!(rows, 14);
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let ric1 = region("ric1").expect("in the catalogue");
        assert_eq!(ric1.has_doks, Offered::Unknown);
        assert_eq!(region("nyc3").map(|nyc3| nyc3.has_doks), Some(Offered::Yes));
        assert_eq!(region("nowhere1"), None);
    }
}
