//! Where the data of a tenant or a route may be. Pure; `steering::rank` takes the other regions out, and
//! the request path refuses what has come to one of them and may not go on.
//!
//! Not a preference: nothing makes a region usable that is not allowed, fail-open included.

use super::matcher::HostPattern;
use crate::region::{MAX_REGIONS, RegionIndex};
use crate::steering::Preference;

/// What a region does with a request whose data must not be there.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// Carry it, frame by frame, to a region that is allowed; keep nothing of it.
    #[default]
    Carry,
    /// Answer 421 before any of its body is read.
    Refuse,
}

/// The regions where data may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residency {
    allowed: [bool; MAX_REGIONS],
    /// What the other regions do.
    pub outside: Outside,
}

impl Residency {
    /// No rule.
    pub const ANYWHERE: Self = Self {
        allowed: [true; MAX_REGIONS],
        outside: Outside::Carry,
    };

    /// Only these regions.
    pub fn only(regions: impl IntoIterator<Item = RegionIndex>, outside: Outside) -> Self {
        let mut allowed = [false; MAX_REGIONS];
        for region in regions {
            allowed[region.get()] = true;
        }
        Self { allowed, outside }
    }

    /// Whether data may be there.
    pub fn allows(&self, region: RegionIndex) -> bool {
        self.allowed[region.get()]
    }

    /// Whether a request may pass through a region on its way to one that is allowed.
    pub fn may_pass(&self, region: RegionIndex) -> bool {
        self.allows(region) || self.outside == Outside::Carry
    }

    /// Both rules at once: the stricter of each.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let refuse = [self.outside, other.outside].contains(&Outside::Refuse);
        Self {
            allowed: std::array::from_fn(|at| self.allowed[at] && other.allowed[at]),
            outside: if refuse {
                Outside::Refuse
            } else {
                Outside::Carry
            },
        }
    }

    /// Where either rule allows it.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            allowed: std::array::from_fn(|at| self.allowed[at] || other.allowed[at]),
            outside: self.outside,
        }
    }
}

/// Somebody whose hosts have rules of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, for people.
    pub name: Box<str>,
    /// Its hosts.
    pub hosts: Vec<HostPattern>,
    /// Where its data may be.
    pub residency: Residency,
    /// Its order of regions; empty: by round trip.
    pub preference: Preference,
}

/// All tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants(Vec<Tenant>);

impl Tenants {
    /// Of tenants, no two of which share a host pattern.
    pub fn new(tenants: Vec<Tenant>) -> Self {
        Self(tenants)
    }

    /// The tenant of a host, as a request or a DNS question writes it: in any case, with or without port
    /// and final dot. The most specific pattern counts.
    pub fn of_host(&self, host: &str) -> Option<&Tenant> {
        if self.0.is_empty() {
            return None;
        }
        let host = bare(host);
        let matching = self.0.iter().flat_map(|tenant| {
            let patterns = tenant.hosts.iter();
            patterns
                .filter(|pattern| pattern.matches(host))
                .map(move |pattern| (pattern.specificity(), tenant))
        });
        matching
            .max_by_key(|(specificity, _)| *specificity)
            .map(|(_, tenant)| tenant)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.0.iter()
    }
}

/// A host without user information, port and final dot: no way of writing it escapes its rules.
fn bare(host: &str) -> &str {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = if host.starts_with('[') {
        host.split_inclusive(']').next().unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    host.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, Outside, Preference, Residency, Tenant, Tenants};
    use crate::region::RegionIndex;

    #[test]
    fn every_way_of_writing_a_host_leads_to_its_tenant() {
        let tenant = |name: &str, host: &str| Tenant {
            name: name.into(),
            hosts: vec![HostPattern::parse(host).unwrap()],
            residency: Residency::only([RegionIndex(1)], Outside::Carry),
            preference: Preference::default(),
        };
        let tenants = Tenants::new(vec![
            tenant("everybody", "*.example.com"),
            tenant("acme", "acme.example.com"),
        ]);
        let name = |host: &str| tenants.of_host(host).map(|tenant| &*tenant.name);
        for host in [
            "acme.example.com",
            "ACME.example.com",
            "acme.example.com.",
            "acme.example.com:8443",
            "acme.example.com:",
            "acme.example.com:80:80",
            "acme.example.com.:443",
            "user@acme.example.com",
        ] {
            assert_eq!(name(host), Some("acme"), "{host}");
        }
        assert_eq!(name("b.example.com"), Some("everybody"));
        assert_eq!(name("example.org"), None);
        assert_eq!(name("[::1]:80"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn two_rules_together_are_the_stricter_of_both() {
        let [one, two] = [(0_u8, 1_u8, Outside::Carry), (1, 2, Outside::Refuse)]
            .map(|(a, b, outside)| Residency::only([RegionIndex(a), RegionIndex(b)], outside));
        let both = one.and(&two);
        let allowed: Vec<bool> = (0..3).map(|at| both.allows(RegionIndex(at))).collect();
        assert_eq!(allowed, [false, true, false]);
        assert_eq!(both.outside, Outside::Refuse);
        assert_eq!(one.and(&Residency::ANYWHERE), one);
    }
}
