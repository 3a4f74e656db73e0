//! May this request enter: more than a set number at once are refused early, so that those inside stay
//! fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// Counts requests from their admission until the end of their response.
#[derive(Clone, Debug)]
pub struct Admission {
    in_flight: Arc<AtomicUsize>,
    limit: usize,
}

impl Admission {
    /// At most `limit` requests at once.
    pub fn new(limit: usize) -> Self {
        Self {
            in_flight: Arc::default(),
            limit,
        }
    }

    /// Admits one request for as long as the permit lives, or refuses it.
    pub fn enter(&self) -> Result<Permit, Error> {
        let permit = Permit(self.in_flight.clone());
        if permit.0.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(Error::Overloaded);
        }
        Ok(permit)
    }

    /// Requests inside now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// One request's place inside.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Admission;

    #[test]
    fn the_limit_holds_and_places_come_back() {
        let admission = Admission::new(2);
        let (first, _second) = (admission.enter().unwrap(), admission.enter().unwrap());
        assert!(admission.enter().is_err());
        assert_eq!(admission.in_flight(), 2);
        drop(first);
        assert!(admission.enter().is_ok());
    }
}
