//! The data built into the library: country of every network, from IPtoASN (public domain).

use std::sync::{Arc, LazyLock};

use crate::compact::CountryRanges;
use crate::layer::{Layer, LayerBuilder};
use crate::location::Source;

static COUNTRIES: &[u8] = include_bytes!("../data/iptoasn-country.geoc");

/// The compiled table. Unfolded once in a process, then shared: it never changes.
pub(crate) fn layer() -> Arc<Layer> {
    static LAYER: LazyLock<Arc<Layer>> = LazyLock::new(|| Arc::new(unfold(COUNTRIES)));
    LAYER.clone()
}

/// A test holds that the shipped bytes decode, so the empty table is never what users get.
fn unfold(bytes: &[u8]) -> Layer {
    let mut builder = LayerBuilder::new(Source::Embedded);
    let mut built = None;
    if let Ok(ranges) = CountryRanges::decode(bytes) {
        built = Some(ranges.built);
        ranges.read_into(&mut builder);
    }
    builder.finish("iptoasn-country".to_owned(), built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_data_is_whole_and_small() {
        assert!(COUNTRIES.len() < 1_000_000, "{} bytes", COUNTRIES.len());
        let (v4, v6) = CountryRanges::decode(COUNTRIES)
            .expect("the shipped bytes decode")
            .intervals();
        assert!(v4 > 200_000 && v6 > 60_000, "{v4} and {v6} intervals");
        assert!(layer().built.is_some());
    }

    #[test]
    fn well_known_networks_are_in_their_countries() {
        let cases = [
            ("81.2.69.142", "GB"),
            ("133.11.0.1", "JP"),
            ("2001:4860:4860::8888", "US"),
            ("200.160.2.3", "BR"),
        ];
        for (ip, country) in cases {
            let found = layer()
                .get(ip.parse().expect("a literal"))
                .and_then(|found| found.country);
            assert_eq!(
                found.map(|found| found.to_string()).as_deref(),
                Some(country),
                "{ip}"
            );
        }
    }
}
