//! Response rate limiting (RRL): an authoritative server is a mirror for floods with forged sources, so equal
//! responses to one network are limited. Some of what is over the limit is answered with "truncated", so that
//! a real client behind the same network gets through over TCP.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How much is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Equal responses a second to one network, /24 or /56; 0 means no limit.
    pub responses: u32,
    /// Errors a second, and answers that something does not exist; 0 means no limit.
    pub errors: u32,
    /// Every how many-th response over the limit is sent truncated; 0 means none.
    pub slip: u32,
    /// Networks without a limit.
    pub exempt: Vec<IpNet>,
}

/// Kinds of responses, each with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data, or a referral.
    Answer,
    /// Neither the name nor data.
    Nothing,
    /// A refusal.
    Error,
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send it truncated.
    Slip,
    /// Send nothing.
    Drop,
}

/// Buckets; a network and a kind of response find theirs by hash.
const BUCKETS: usize = 1 << 16;

/// How much of the limit may be used at once, in microseconds of it.
const BURST: u64 = 1_000_000;

/// The state: a fixed table, without locks. An entry is 16 bits of hash, and 48 bits of the microsecond at
/// which all that was sent would have been sent at the allowed rate.
#[derive(Debug)]
pub struct RateLimiter {
    policy: RateLimit,
    seed: u64,
    buckets: Box<[AtomicU64]>,
    over: AtomicU64,
}

impl RateLimiter {
    /// Nothing was sent yet. `seed` keeps strangers from finding whose bucket is whose.
    pub fn new(policy: RateLimit, seed: u64) -> Self {
        Self {
            policy,
            seed,
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            over: AtomicU64::new(0),
        }
    }

    /// Counts a response of a kind, about something, to `source`, and decides on it. `now` is in microseconds
    /// from any fixed point.
    pub fn decide(&self, source: IpAddr, kind: Kind, about: u64, now: u64) -> Verdict {
        let rate = match kind {
            Kind::Answer => self.policy.responses,
            Kind::Nothing | Kind::Error => self.policy.errors,
        };
        if rate == 0 || self.policy.exempt.iter().any(|net| net.contains(&source)) {
            return Verdict::Send;
        }
        let hash = self.hash(source, kind, about);
        let bucket = &self.buckets[hash as usize % BUCKETS];
        let tag = hash & (0xffff << 48);
        let mut entry = bucket.load(Ordering::Relaxed);
        // Whoever loses the race a few times in a row is one of a flood, and is counted by the others.
        for _ in 0..4 {
            let Some(next) = step(entry, tag, now, BURST / u64::from(rate)) else {
                return self.over_limit();
            };
            match bucket.compare_exchange_weak(entry, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => entry = other,
            }
        }
        Verdict::Send
    }

    fn over_limit(&self) -> Verdict {
        let nth = self.over.fetch_add(1, Ordering::Relaxed);
        match self.policy.slip {
            0 => Verdict::Drop,
            slip if nth.is_multiple_of(u64::from(slip)) => Verdict::Slip,
            _ => Verdict::Drop,
        }
    }

    fn hash(&self, source: IpAddr, kind: Kind, about: u64) -> u64 {
        let network = match source.to_canonical() {
            IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
            IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64 | 1 << 63,
        };
        let mut key = [0; 17];
        key[..8].copy_from_slice(&network.to_ne_bytes());
        key[8..16].copy_from_slice(&about.to_ne_bytes());
        key[16] = kind as u8;
        xxh3_64_with_seed(&key, self.seed)
    }
}

/// One more response, `interval` microseconds apart: the new entry, or `None` where it is one too many. An entry
/// of somebody else is taken over.
fn step(entry: u64, tag: u64, now: u64, interval: u64) -> Option<u64> {
    const TIME: u64 = (1 << 48) - 1;
    let now = now & TIME;
    let due = if entry & !TIME == tag {
        entry & TIME
    } else {
        0
    };
    if due > now + BURST {
        return None;
    }
    Some(tag | ((due.max(now) + interval) & TIME))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Kind, RateLimit, RateLimiter, Verdict};

    fn limiter(slip: u32) -> RateLimiter {
        let policy = RateLimit {
            responses: 10,
            errors: 5,
            slip,
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
        };
        RateLimiter::new(policy, 1)
    }

    #[test]
    fn a_network_gets_its_rate_and_others_are_not_touched() {
        let limiter = limiter(0);
        let send = |source: [u8; 4], kind, about, now| {
            limiter.decide(IpAddr::from(source), kind, about, now) == Verdict::Send
        };
        let second = 1_000_000;
        // 100 a second from all over one /24, for ten seconds: the burst, then ten a second.
        let sent = (0..1000)
            .filter(|nth| {
                send(
                    [192, 0, 2, *nth as u8],
                    Kind::Answer,
                    7,
                    second + nth * second / 100,
                )
            })
            .count();
        assert!((105..=112).contains(&sent), "{sent}");
        let after = 11 * second;
        assert!(
            send([192, 0, 2, 1], Kind::Answer, 8, after),
            "another answer"
        );
        assert!(send([192, 0, 2, 1], Kind::Error, 0, after), "another kind");
        assert!(
            send([192, 0, 3, 1], Kind::Answer, 7, after),
            "another network"
        );
        assert!((0..100).all(|_| send([10, 0, 0, 1], Kind::Answer, 7, after)));
        assert!(send([192, 0, 2, 1], Kind::Answer, 7, after + 2 * second));
    }

    #[test]
    fn every_second_response_over_the_limit_is_truncated() {
        let limiter = limiter(2);
        let verdicts: Vec<Verdict> = (0..20)
            .map(|_| limiter.decide([192, 0, 2, 1].into(), Kind::Nothing, 0, 5))
            .collect();
        let count = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
        assert_eq!(count(Verdict::Send), 6, "{verdicts:?}");
        assert_eq!(count(Verdict::Slip), 7, "{verdicts:?}");
    }
}
