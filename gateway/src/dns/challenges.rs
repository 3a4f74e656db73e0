//! TXT values by which a certificate authority sees that a name is ours (ACME DNS-01, RFC 8555 8.4). They come
//! and go while we serve, so they stand beside the zones; a zone answers for them wherever their name lies in
//! it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::zone::{ZoneError, wire_name};

/// The challenges in force. Reading takes no lock.
#[derive(Debug, Default)]
pub struct Challenges {
    by_name: ArcSwap<HashMap<Box<[u8]>, Vec<Challenge>>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Challenge {
    value: Box<str>,
    until: Instant,
}

impl Challenges {
    /// Answers `value` at a name, such as `_acme-challenge.edge.example.com`, until then. Several values may
    /// stand at one name: one for each order.
    ///
    /// # Errors
    ///
    /// The name is no domain name, or the value is longer than one TXT string.
    pub fn set(&self, name: &str, value: &str, until: Instant) -> Result<(), ZoneError> {
        if value.len() > 255 {
            return Err(ZoneError::Name(name.to_owned()));
        }
        let key = wire_name(name, None)?;
        self.change(|all| {
            let values = all.entry(key.clone()).or_default();
            values.retain(|challenge| &*challenge.value != value);
            values.push(Challenge {
                value: value.into(),
                until,
            });
        });
        Ok(())
    }

    /// Answers it no more.
    pub fn remove(&self, name: &str, value: &str) {
        let Ok(key) = wire_name(name, None) else {
            return;
        };
        self.change(|all| {
            if let Some(values) = all.get_mut(&key) {
                values.retain(|challenge| &*challenge.value != value);
                if values.is_empty() {
                    all.remove(&key);
                }
            }
        });
    }

    /// Calls `each` with what stands at a name in wire format and lower case. Returns whether anything does.
    pub fn at(&self, name: &[u8], now: Instant, mut each: impl FnMut(&str)) -> bool {
        let all = self.by_name.load();
        if all.is_empty() {
            return false;
        }
        let values = all.get(name).into_iter().flatten();
        let mut any = false;
        for challenge in values.filter(|challenge| challenge.until > now) {
            any = true;
            each(&challenge.value);
        }
        any
    }

    fn change(&self, change: impl Fn(&mut HashMap<Box<[u8]>, Vec<Challenge>>)) {
        self.by_name.rcu(|all| {
            let mut all = HashMap::clone(all);
            change(&mut all);
            Arc::new(all)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Challenges;
    use crate::dns::wire_name;

    #[test]
    fn values_stand_until_they_are_removed_or_their_time_is_over() {
        let (challenges, now) = (Challenges::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        let name = "_acme-challenge.Edge.test";
        challenges.set(name, "one", later).unwrap();
        challenges.set(name, "two", later).unwrap();
        challenges.set(name, "two", later).unwrap();
        let at = |now| {
            let mut values = Vec::new();
            let key = wire_name("_acme-challenge.edge.test", None).unwrap();
            challenges.at(&key, now, |value| values.push(value.to_owned()));
            values
        };
        assert_eq!(at(now), ["one", "two"]);
        assert_eq!(at(later), [""; 0]);
        challenges.remove(name, "one");
        assert_eq!(at(now), ["two"]);
        assert!(challenges.set(name, &"x".repeat(256), later).is_err());
    }
}
