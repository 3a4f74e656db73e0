//! May this request enter: more than a set number at once are refused early, so that those inside stay
//! fast. And whose are those inside, which is what the load of a region is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::error::Error;
use crate::region::{MAX_REGIONS, RegionIndex};

/// Counts requests from their admission until the end of their response.
#[derive(Clone, Debug)]
pub struct Admission {
    counts: Arc<Counts>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    /// Since the start.
    admitted: AtomicU64,
    /// Requests that are served here.
    served: AtomicUsize,
    /// The same, by the region whose users they are.
    served_for: [AtomicU32; MAX_REGIONS],
}

impl Admission {
    /// At most `limit` requests at once.
    pub fn new(limit: usize) -> Self {
        Self {
            counts: Arc::default(),
            limit,
        }
    }

    /// Admits one request for as long as the permit lives, or refuses it.
    pub fn enter(&self) -> Result<Permit, Error> {
        let permit = Permit {
            counts: self.counts.clone(),
            served_for: None,
        };
        if self.counts.in_flight.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(Error::Overloaded);
        }
        self.counts.admitted.fetch_add(1, Ordering::Relaxed);
        Ok(permit)
    }

    /// Requests inside now.
    pub fn in_flight(&self) -> usize {
        self.counts.in_flight.load(Ordering::Relaxed)
    }

    /// The most that may be inside.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Requests admitted since the start.
    pub fn admitted(&self) -> u64 {
        self.counts.admitted.load(Ordering::Relaxed)
    }

    /// Whether so many are served here that the next should go elsewhere, if anybody has room. A little is
    /// left for those that have to be carried there.
    pub fn is_full(&self) -> bool {
        let served = self.counts.served.load(Ordering::Relaxed);
        served >= (self.limit - self.limit / 20).max(1)
    }

    /// Requests served here now that belong to the users of `region`. Those that are carried elsewhere
    /// are not among them.
    pub fn served_for(&self, region: RegionIndex) -> u32 {
        self.counts.served_for[region.get()].load(Ordering::Relaxed)
    }
}

/// One request's place inside.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Counts>,
    served_for: Option<RegionIndex>,
}

impl Permit {
    /// The request is served here, and belongs to the users of `region`. Only the first word counts.
    pub fn serve_for(&mut self, region: RegionIndex) {
        if self.served_for.is_none() {
            self.served_for = Some(region);
            self.counts.served.fetch_add(1, Ordering::Relaxed);
            self.counts.served_for[region.get()].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(region) = self.served_for {
            self.counts.served.fetch_sub(1, Ordering::Relaxed);
            self.counts.served_for[region.get()].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Admission;
    use crate::region::RegionIndex;

    #[test]
    fn the_limit_holds_and_places_come_back() {
        let admission = Admission::new(2);
        let (first, _second) = (admission.enter().unwrap(), admission.enter().unwrap());
        assert!(admission.enter().is_err());
        assert_eq!(admission.in_flight(), 2);
        drop(first);
        assert!(admission.enter().is_ok());
    }

    #[test]
    fn what_is_served_is_counted_once_for_the_region_whose_user_it_is() {
        let admission = Admission::new(2);
        let mut permit = admission.enter().unwrap();
        assert_eq!(admission.served_for(RegionIndex(1)), 0);
        permit.serve_for(RegionIndex(1));
        permit.serve_for(RegionIndex(0));
        let served = [0, 1].map(|region| admission.served_for(RegionIndex(region)));
        assert_eq!(served, [0, 1]);
        assert!(!admission.is_full());
        let mut second = admission.enter().unwrap();
        second.serve_for(RegionIndex(0));
        assert!(admission.is_full());
        drop(permit);
        assert!(!admission.is_full());
        assert_eq!(admission.served_for(RegionIndex(1)), 0);
        assert_eq!(admission.admitted(), 2);
    }
}
