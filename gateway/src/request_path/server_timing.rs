//! Where the time of a request went, told to the client.

use std::time::{Duration, Instant};

use arrayvec::ArrayString;
use http::HeaderValue;

use crate::access_log::Record;
use crate::region::Region;

/// `Server-Timing` (W3C Server Timing, section 2) in milliseconds: the whole of it here, and the part of
/// it that waited for the cache or an upstream.
pub(super) fn server_timing(region: &Region, record: &Record, now: Instant) -> Option<HeaderValue> {
    let mut text = ArrayString::<128>::new();
    if let Some((name, since)) = record.waited {
        text.try_push_str(name).ok()?;
        push_milliseconds(&mut text, now.duration_since(since))?;
        text.try_push_str(", ").ok()?;
    }
    text.try_push_str("edge").ok()?;
    push_milliseconds(&mut text, record.headers_after)?;
    text.try_push_str(";desc=").ok()?;
    text.try_push_str(region.name.as_str()).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// `;dur=12.345`, without the formatting machinery, which would take longer than all the rest.
fn push_milliseconds(text: &mut ArrayString<128>, elapsed: Duration) -> Option<()> {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let mut digits = itoa::Buffer::new();
    text.try_push_str(";dur=").ok()?;
    text.try_push_str(digits.format(micros / 1000)).ok()?;
    // A leading 1 keeps the zeroes: 1007 stands for .007.
    text.try_push('.').ok()?;
    text.try_push_str(&digits.format(1000 + micros % 1000)[1..])
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::push_milliseconds;

    #[test]
    fn milliseconds_have_three_places() {
        for (micros, expected) in [
            (0, ";dur=0.000"),
            (7, ";dur=0.007"),
            (12_345, ";dur=12.345"),
            (60_000_010, ";dur=60000.010"),
        ] {
            let mut text = arrayvec::ArrayString::new();
            push_milliseconds(&mut text, Duration::from_micros(micros)).unwrap();
            assert_eq!(&*text, expected);
        }
    }
}
