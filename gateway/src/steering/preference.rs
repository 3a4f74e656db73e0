//! Ordered lists of regions for groups of clients, whatever the distance: "these countries go to Singapore,
//! then to San Francisco". A list orders; it never makes a region usable that is not.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use geo_db::{Country, Location};
use ipnet::IpNet;

use super::Standing;
use crate::region::{MAX_REGIONS, RegionIndex};

/// Regions in the order in which they are preferred; those that are not named follow by round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference(ArrayVec<RegionIndex, MAX_REGIONS>);

impl Preference {
    /// Of regions, best first. More than a fleet can have are left out.
    pub fn new(regions: impl IntoIterator<Item = RegionIndex>) -> Self {
        Self(regions.into_iter().take(MAX_REGIONS).collect())
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a region, for [`Standing::preference`].
    pub fn place_of(&self, region: RegionIndex) -> u8 {
        let place = self.0.iter().position(|listed| *listed == region);
        place
            .and_then(|place| u8::try_from(place).ok())
            .unwrap_or(Standing::NOT_LISTED)
    }
}

/// One group of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    countries: Vec<Country>,
    networks: Vec<IpNet>,
    preference: Preference,
}

/// The lists of all groups; the first that a client belongs to counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences(Vec<Group>);

impl Preferences {
    /// Adds a group: who is in one of `networks` or, if its place is known, in one of `countries`.
    pub fn add(&mut self, countries: Vec<Country>, networks: Vec<IpNet>, preference: Preference) {
        self.0.push(Group {
            countries,
            networks,
            preference,
        });
    }

    /// Whether a client's network decides on its group, not only its country.
    pub fn are_by_network(&self) -> bool {
        self.0.iter().any(|group| !group.networks.is_empty())
    }

    /// The list for a client.
    pub fn of(&self, client: IpAddr, location: &Location) -> Option<&Preference> {
        let client = client.to_canonical();
        let group = self.0.iter().find(|group| {
            let is_in = |country| group.countries.contains(country);
            location.country.as_ref().is_some_and(is_in)
                || group
                    .networks
                    .iter()
                    .any(|network| network.contains(&client))
        });
        group.map(|group| &group.preference)
    }
}

#[cfg(test)]
mod tests {
    use geo_db::GeoDb;

    use super::{Preference, Preferences};
    use crate::region::RegionIndex;
    use crate::steering::Standing;

    #[test]
    fn the_first_group_of_a_client_counts() {
        let mut preferences = Preferences::default();
        let list = |regions: &[u8]| Preference::new(regions.iter().copied().map(RegionIndex));
        preferences.add(vec![], vec!["91.64.0.0/16".parse().unwrap()], list(&[2]));
        preferences.add(vec!["DE".parse().unwrap()], vec![], list(&[1, 0]));
        let geo = GeoDb::embedded();
        let of = |ip: &str| {
            let ip = ip.parse().unwrap();
            preferences.of(ip, &geo.lookup(ip)).cloned()
        };
        assert_eq!(of("91.64.0.1"), Some(list(&[2])));
        assert_eq!(of("::ffff:91.64.0.1"), Some(list(&[2])));
        assert_eq!(of("91.65.0.1"), Some(list(&[1, 0])));
        assert_eq!(of("128.135.0.1"), None);
        assert_eq!(list(&[1, 0]).place_of(RegionIndex(0)), 1);
        assert_eq!(list(&[1, 0]).place_of(RegionIndex(2)), Standing::NOT_LISTED);
    }
}
