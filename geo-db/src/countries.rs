//! Country → point: where to place a user of whom only the country is known.

use std::sync::LazyLock;

use crate::location::{Country, Point};

/// The place that stands for a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CountryPoint {
    pub(crate) country: Country,
    pub(crate) point: Point,
    pub(crate) accuracy_km: f32,
    pub(crate) confidence: f32,
}

/// The point of a country, if the embedded table has it. `data/README.md` tells how it is chosen.
pub(crate) fn point_of(country: Country) -> Option<&'static CountryPoint> {
    let at = COUNTRIES
        .binary_search_by_key(&country, |row| row.country)
        .ok()?;
    COUNTRIES.get(at)
}

static COUNTRIES: LazyLock<Vec<CountryPoint>> = LazyLock::new(|| {
    let mut rows: Vec<CountryPoint> = include_str!("../data/countries.csv")
        .lines()
        .filter_map(parse)
        .collect();
    rows.sort_by_key(|row| row.country);
    rows
});

/// `country,lat,lon,accuracy_km,confidence`; headings and comments are none.
fn parse(line: &str) -> Option<CountryPoint> {
    let mut fields = line.split(',');
    let country = fields.next()?.parse().ok()?;
    let point = Point::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)?;
    let accuracy_km = fields.next()?.parse().ok()?;
    let confidence = fields.next()?.parse().ok()?;
    Some(CountryPoint {
        country,
        point,
        accuracy_km,
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_one_plausible_point() {
        let text = include_str!("../data/countries.csv");
        let rows = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("country,"))
            .count();
        assert_eq!(COUNTRIES.len(), rows);
        assert!(COUNTRIES.len() > 230, "{}", COUNTRIES.len());
        assert!(
            COUNTRIES
                .windows(2)
                .all(|pair| pair[0].country < pair[1].country),
            "a country twice"
        );
        assert!(
            COUNTRIES
                .iter()
                .all(|row| (0.0..=1.0).contains(&row.confidence) && row.accuracy_km >= 10.0)
        );
    }

    #[test]
    fn a_wide_country_admits_that_its_point_is_vague() {
        let of = |code: &str| point_of(code.parse().expect("a code")).expect("in the table");
        assert!(of("US").confidence < 0.7, "{:?}", of("US"));
        assert!(of("NL").confidence > 0.9, "{:?}", of("NL"));
        assert!(of("US").accuracy_km > of("NL").accuracy_km);
    }
}
