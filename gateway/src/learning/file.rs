//! The table as text, for the file of the last run, export and import: one line a measurement,
//! `prefix,region,rtt_ms,samples,measured_at`.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::region::{RegionIndex, RegionSet};
use crate::steering::{Measurement, RttTable};

const HEADING: &str = "prefix,region,rtt_ms,samples,measured_at";

/// A line that is no measurement.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    line: usize,
    reason: &'static str,
}

/// The table as CSV.
pub fn write_csv(regions: &RegionSet, measurements: &[Measurement<RegionIndex>]) -> String {
    let mut text = String::with_capacity(64 * (1 + measurements.len()));
    let _ = writeln!(text, "{HEADING}");
    for each in measurements {
        let Some((_, region)) = regions.iter().find(|(index, _)| *index == each.region) else {
            continue;
        };
        let Measurement {
            prefix,
            rtt_ms,
            samples,
            measured_at,
            ..
        } = each;
        let _ = writeln!(
            text,
            "{prefix},{},{rtt_ms:.3},{samples},{measured_at}",
            region.name
        );
    }
    text
}

/// Reads CSV. One bad line refuses all of it, so that half a file is never taken for a whole one.
pub fn read_csv(text: &str, regions: &RegionSet) -> Result<Vec<Measurement<RegionIndex>>, BadLine> {
    let mut measurements = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line == HEADING {
            continue;
        }
        let parsed = parse(line, regions);
        measurements.push(parsed.map_err(|reason| BadLine {
            line: number,
            reason,
        })?);
    }
    Ok(measurements)
}

fn parse(line: &str, regions: &RegionSet) -> Result<Measurement<RegionIndex>, &'static str> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [prefix, region, rtt_ms, samples, measured_at] = fields[..] else {
        return Err("five fields are needed: prefix,region,rtt_ms,samples,measured_at");
    };
    let rtt_ms: f64 = rtt_ms.parse().map_err(|_| "rtt_ms is not a number")?;
    if !(0.001..=2000.0).contains(&rtt_ms) {
        return Err("rtt_ms is between 0.001 and 2000");
    }
    Ok(Measurement {
        prefix: prefix
            .parse()
            .map_err(|_| "the prefix is not a /24, or a /48 of IPv6")?,
        region: regions.find(region).ok_or("no such region")?,
        rtt_ms,
        samples: samples.parse().map_err(|_| "samples is not a number")?,
        measured_at: measured_at
            .parse()
            .map_err(|_| "measured_at is not a number of seconds since 1970")?,
    })
}

/// Fills `table` from the file of the last run.
pub(super) fn load(path: &Path, regions: &RegionSet, table: &mut RttTable, now: u64) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "learnt round trips could not be read; learning begins anew");
            return;
        }
    };
    match read_csv(&text, regions) {
        Ok(measurements) => {
            // Counted before the log line, whose arguments are not looked at while nobody listens.
            let counted = measurements.iter().filter(|each| table.import(each, now));
            let counted = counted.count();
            tracing::info!(measurements = counted, "learnt round trips were read");
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "learnt round trips make no sense; learning begins anew");
        }
    }
}

/// Writes the file whole or not at all.
pub(super) fn store(
    path: &Path,
    regions: &RegionSet,
    measurements: &[Measurement<RegionIndex>],
) -> io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, write_csv(regions, measurements))?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use geo_db::Point;
    use proptest::prelude::*;

    use super::{load, read_csv, store, write_csv};
    use crate::region::{Region, RegionSet};
    use crate::steering::{LearningPolicy, Prefix, RttTable};

    const POLICY: LearningPolicy = LearningPolicy {
        prefixes: 100,
        min_samples: 1,
        fresh_for: Duration::from_secs(3600),
    };

    fn regions() -> RegionSet {
        let point = Point { lat: 0.0, lon: 0.0 };
        let region = |name: &str| Region::new(name.parse().unwrap(), point, None, None, None);
        RegionSet::new(vec![region("ams3"), region("nyc3")], "ams3").unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_a_bad_file_is_left_alone() {
        let regions = regions();
        let mut table = RttTable::new(POLICY, regions.own_index());
        let prefix = Prefix::of("192.0.2.1".parse().unwrap());
        table.observe(prefix, Duration::from_micros(12_345), 1000);
        let all: Vec<_> = table.measurements().collect();
        let text = write_csv(&regions, &all);
        assert_eq!(
            text,
            "prefix,region,rtt_ms,samples,measured_at\n192.0.2.0/24,ams3,12.345,1,1000\n"
        );
        assert_eq!(read_csv(&text, &regions).unwrap(), all);

        let directory = std::env::temp_dir().join(format!("rtt-file-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("rtt.csv");
        store(&path, &regions, &all).unwrap();
        let mut again = RttTable::new(POLICY, regions.own_index());
        load(&path, &regions, &mut again, 1010);
        assert_eq!(again.measurements().collect::<Vec<_>>(), all);
        std::fs::write(&path, format!("{text}nonsense\n")).unwrap();
        let mut none = RttTable::new(POLICY, regions.own_index());
        load(&path, &regions, &mut none, 1010);
        assert!(none.is_empty());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, expected) in [
            (
                "192.0.2.0/25,ams3,1,1,1",
                "line 2: the prefix is not a /24, or a /48 of IPv6",
            ),
            ("192.0.2.0/24,mars,1,1,1", "line 2: no such region"),
            (
                "192.0.2.0/24,ams3,NaN,1,1",
                "line 2: rtt_ms is between 0.001 and 2000",
            ),
            (
                "192.0.2.0/24,ams3,-1,1,1",
                "line 2: rtt_ms is between 0.001 and 2000",
            ),
            (
                "192.0.2.0/24,ams3,1,-1,1",
                "line 2: samples is not a number",
            ),
            (
                "192.0.2.0/24,ams3,1",
                "line 2: five fields are needed: prefix,region,rtt_ms,samples,measured_at",
            ),
        ] {
            let error = read_csv(&format!("\n{line}\n"), &regions()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "([ -~\n]|192.0.2.0/24,ams3,){0,200}") {
            let _ = read_csv(&text, &regions());
        }
    }
}
