//! Dates in HTTP fields (RFC 9110 section 5.6.7), read as leniently as their meaning stays clear.
//!
//! Senders must write them exactly, and recipients "ought to be robust": letter case and a wrong day of
//! the week change nothing about the moment. Another time zone would, so it is refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const LONG_DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The moment that a field names; `None` for what is no date.
pub(crate) fn http_date(text: Option<&[u8]>) -> Option<SystemTime> {
    let text = text?;
    if text.len() > 40 {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let (day_name, rest) = text.split_at(text.find([',', ' '])?);
    if let Some(date) = rest.strip_prefix(", ") {
        match DAYS.contains(&day_name) {
            true => imf_fixdate(date),
            false => LONG_DAYS.contains(&day_name).then(|| rfc850(date))?,
        }
    } else {
        DAYS.contains(&day_name).then(|| asctime(&rest[1..]))?
    }
}

/// `02 nov 2026 12:00:00 gmt`
fn imf_fixdate(text: &str) -> Option<SystemTime> {
    let [day, month, year, time, "gmt"] = fields::<5>(text, ' ')? else {
        return None;
    };
    moment(digits(year, 4)?, month, digits(day, 2)?, time)
}

/// `02-nov-26 12:00:00 gmt`; a year more than half a century ahead is in the past century.
fn rfc850(text: &str) -> Option<SystemTime> {
    let [date, time, "gmt"] = fields::<3>(text, ' ')? else {
        return None;
    };
    let [day, month, year] = fields::<3>(date, '-')?;
    let year = digits(year, 2)?;
    let century = if year < 70 { 2000 } else { 1900 };
    moment(century + year, month, digits(day, 2)?, time)
}

/// `nov  2 12:00:00 2026`
fn asctime(text: &str) -> Option<SystemTime> {
    let (month, rest) = text.split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(' ')?.split_at_checked(2)?;
    let [time, year] = fields::<2>(rest.strip_prefix(' ')?, ' ')?;
    let day = match day.strip_prefix(' ') {
        Some(day) => digits(day, 1)?,
        None => digits(day, 2)?,
    };
    moment(digits(year, 4)?, month, day, time)
}

fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let fields: Vec<&str> = text.split(separator).collect();
    fields.try_into().ok()
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn moment(year: u64, month: &str, day: u64, time: &str) -> Option<SystemTime> {
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let [hour, minute, second] = fields::<3>(time, ':')?;
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // A leap second is the second before, as far as a clock without them goes.
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    let days = days_before(year, month, day)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second.min(59);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days since the epoch, with years that begin in March, so that the leap day is their last.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let in_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + in_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_date_is_read_if_its_moment_is_clear() {
        let noon = httpdate::parse_http_date("Mon, 02 Nov 2026 12:00:00 GMT").ok();
        for text in [
            "Mon, 02 Nov 2026 12:00:00 GMT",
            "MON, 02 nov 2026 12:00:00 gmt",
            "Tue, 02 Nov 2026 12:00:00 GMT",
            "Monday, 02-Nov-26 12:00:00 GMT",
            "Mon Nov  2 12:00:00 2026",
        ] {
            assert_eq!(http_date(Some(text.as_bytes())), noon, "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "Mon, 02 Nov 2026 12:00:00",
            "Mon, 02 Nov 2026 12:00:00 UTC",
            "Mon, 02 Nov 2026 12:00:00 AEST",
            "Mon, 02 Nov 26 12:00:00 GMT",
            "Mon 02 Nov 2026 12:00:00 GMT",
            "Mon, 02  Nov 2026 12:00:00 GMT",
            "Mon, 02-Nov-2026 12:00:00 GMT",
            "Mon, 02 Nov 2026 12.00.00 GMT",
            "Mon, 02 Nov 2026 2:00:00 GMT",
            "Mon, 30 Feb 2026 12:00:00 GMT",
            "Mon, 02 Nov 2026 24:00:00 GMT",
            "Mon, 02 Nov 1969 12:00:00 GMT",
            "Mon,02 Nov 2026 12:00:00 GMT",
        ] {
            assert_eq!(http_date(Some(text.as_bytes())), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(seconds in 0u64..250_000_000_000) {
            let date = UNIX_EPOCH + Duration::from_secs(seconds);
            let text = httpdate::fmt_http_date(date);
            prop_assert_eq!(http_date(Some(text.as_bytes())), Some(date));
        }

        #[test]
        fn anything_else_is_refused_quietly(text in ".{0,50}") {
            let _ = http_date(Some(text.as_bytes()));
        }
    }
}
