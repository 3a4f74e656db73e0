//! What the host and the route of a request ask of regions, together.

use std::net::IpAddr;

use geo_db::Location;

use super::{Action, Residency, Route, RouteTable, Tenant, Tenants};
use crate::region::{MAX_REGIONS, RegionIndex};
use crate::steering::{Preference, Preferences, Standing};

/// Where a request may be answered, and where it is preferred.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which regions can answer it, by region index.
    pub available: [bool; MAX_REGIONS],
    /// Where its data may be.
    pub residency: Residency,
    /// Its order of regions, where it has one.
    pub preference: Option<&'a Preference>,
    /// What has to work where it is answered.
    pub needs: Option<&'a Action>,
}

impl<'a> Rules<'a> {
    /// Of a request without rules.
    pub const NONE: Self = Self {
        available: [true; MAX_REGIONS],
        residency: Residency::ANYWHERE,
        preference: None,
        needs: None,
    };

    /// Of a route and of the tenant that the host belongs to. The stricter residency counts, and the
    /// route's preference before the tenant's.
    pub fn of(route: Option<&'a Route>, tenant: Option<&'a Tenant>) -> Self {
        let residency = tenant.map_or(Residency::ANYWHERE, |tenant| tenant.residency);
        let lists = [
            route.map(|route| &route.preference),
            tenant.map(|tenant| &tenant.preference),
        ];
        Self {
            available: route.map_or([true; MAX_REGIONS], |route| route.available),
            residency: route.map_or(residency, |route| residency.and(&route.residency)),
            preference: lists.into_iter().flatten().find(|list| !list.is_empty()),
            needs: route.map(|route| &route.action),
        }
    }

    /// Of a name alone, for DNS, which knows neither path nor method: the tenant's, and where only
    /// routes with a residency are for this name, wherever one of them may be answered.
    pub fn of_name(name: &str, routes: &'a RouteTable, tenants: &'a Tenants) -> Self {
        let rules = Self::of(None, tenants.of_host(name));
        let own = routes.iter().filter(|route| {
            let host = &route.matcher.host;
            host.specificity().0 > 0 && host.matches(name.trim_end_matches('.'))
        });
        let any = own
            .map(|route| route.residency)
            .reduce(|one, two| one.or(&two));
        Self {
            residency: any.map_or(rules.residency, |any| rules.residency.and(&any)),
            ..rules
        }
    }

    /// The list that counts for a client: the rules' own, else its group's.
    pub fn preference_of(
        &self,
        groups: &'a Preferences,
        client: IpAddr,
        location: &Location,
    ) -> Option<&'a Preference> {
        self.preference.or_else(|| groups.of(client, location))
    }

    /// The standing of a region under these rules.
    pub fn apply(
        &self,
        standing: Standing,
        region: RegionIndex,
        preference: Option<&Preference>,
    ) -> Standing {
        Standing {
            has_upstream: standing.has_upstream && self.available[region.get()],
            is_resident: self.residency.allows(region),
            preference: preference.map_or(Standing::NOT_LISTED, |list| list.place_of(region)),
            ..standing
        }
    }
}
