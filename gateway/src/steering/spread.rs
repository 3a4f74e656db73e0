//! Places clients evenly between 0 and 1, so that "a third of them" means the same third each time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

/// A number in `[0, 1)` that depends only on the client's network (/24, or /48 for IPv6): clients behind
/// one resolver or one proxy move together, and one client does not move back and forth.
pub fn spread(client: IpAddr) -> f32 {
    let mut hasher = DefaultHasher::new();
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[..3].hash(&mut hasher),
        IpAddr::V6(v6) => v6.segments()[..3].hash(&mut hasher),
    }
    // The upper 24 bits fit a float exactly.
    #[allow(clippy::cast_precision_loss, reason = "24 bits are exact")]
    let upper = (hasher.finish() >> 40) as f32;
    upper / (1_u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::spread;

    #[test]
    fn clients_spread_evenly_and_a_network_stays_together() {
        let at = |a, b, c, d| spread(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
        assert!((at(192, 0, 2, 1) - at(192, 0, 2, 200)).abs() < f32::EPSILON);
        let below = (0..=255)
            .flat_map(|a| (0..16).map(move |b| at(a, b, 0, 1)))
            .filter(|s| *s < 0.3)
            .count();
        let share = below as f32 / 4096.0;
        assert!(
            (share - 0.3).abs() < 0.03,
            "{share} of the clients lie below 0.3"
        );
    }
}
