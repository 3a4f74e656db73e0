//! The serial number of a zone: grows with every change of what it answers.

/// The serial after `previous`, at a Unix time in seconds: the time, unless that would not be ahead (RFC 1982
/// 3.2). So it grows over restarts, too, as long as there is less than one change a second on average.
pub fn next_serial(previous: u32, now: u32) -> u32 {
    let ahead = now.wrapping_sub(previous);
    if (1..1 << 31).contains(&ahead) {
        now
    } else {
        previous.wrapping_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::next_serial;

    #[test]
    fn it_always_grows_by_serial_arithmetic() {
        for (previous, now, next) in [
            (100, 200, 200),
            (200, 200, 201),
            (205, 200, 206),
            (u32::MAX, u32::MAX, 0),
            (u32::MAX, 5, 5),
            (0, 1 << 31, 1),
        ] {
            assert_eq!(next_serial(previous, now), next, "{previous} at {now}");
        }
    }
}
