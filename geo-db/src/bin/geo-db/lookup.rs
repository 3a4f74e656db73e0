//! `lookup`, `nearest` and `info`: read the data and print what it says.

use std::net::IpAddr;
use std::time::SystemTime;

use clap::Args;
use geo_db::{CostTable, Location, Region, RegionPoint, catalogue, region};
use serde::Serialize;

use crate::Data;
use crate::table::{print_json, print_rows};

#[derive(Args)]
pub(crate) struct Lookup {
    /// IPv4 or IPv6 addresses.
    #[arg(required = true, value_name = "IP")]
    addresses: Vec<IpAddr>,
    #[command(flatten)]
    data: Data,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found {
    address: IpAddr,
    #[serde(flatten)]
    location: Location,
}

impl Lookup {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let db = self.data.open()?;
        let found: Vec<Found> = self
            .addresses
            .into_iter()
            .map(|address| Found {
                address,
                location: db.lookup(address),
            })
            .collect();
        if self.json {
            return print_json(&found);
        }
        let rows: Vec<[String; 8]> = found.iter().map(lookup_row).collect();
        print_rows(
            [
                "ADDRESS",
                "COUNTRY",
                "LAT",
                "LON",
                "ACCURACY",
                "CONFIDENCE",
                "ASN",
                "SOURCE",
            ],
            &rows,
        );
        Ok(())
    }
}

fn lookup_row(found: &Found) -> [String; 8] {
    let location = &found.location;
    let dash = || "-".to_owned();
    let degrees =
        |degrees: Option<f32>| degrees.map_or_else(dash, |degrees| format!("{degrees:.2}"));
    let known = location.point.is_some();
    let source = match location.pinned {
        Some(pinned) => format!("{} (pinned to {pinned})", location.source.as_str()),
        None => location.source.as_str().to_owned(),
    };
    [
        found.address.to_string(),
        location
            .country
            .map_or_else(dash, |country| country.to_string()),
        degrees(location.point.map(|point| point.lat)),
        degrees(location.point.map(|point| point.lon)),
        if known {
            format!("{:.0} km", location.accuracy_km)
        } else {
            dash()
        },
        if known {
            format!("{:.2}", location.confidence)
        } else {
            dash()
        },
        location.asn.map_or_else(dash, |asn| format!("AS{asn}")),
        source,
    ]
}

#[derive(Args)]
pub(crate) struct Nearest {
    /// IPv4 or IPv6 addresses.
    #[arg(required = true, value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Regions to rank, such as nyc3,ams3,sgp1. Default: every region of the catalogue.
    #[arg(long, value_delimiter = ',', value_name = "REGION,…")]
    regions: Vec<String>,
    #[command(flatten)]
    data: Data,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Ranked {
    region: String,
    rtt_ms: Option<f32>,
    km: Option<f32>,
    pinned: bool,
}

#[derive(Serialize)]
struct RankedFor {
    #[serde(flatten)]
    found: Found,
    regions: Vec<Ranked>,
}

impl Nearest {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let regions = chosen(&self.regions)?;
        let points: Vec<RegionPoint> = regions
            .iter()
            .map(|&region| RegionPoint::from(region))
            .collect();
        let costs = CostTable::new(&points)?;
        let db = self.data.open()?;
        let answers: Vec<RankedFor> = self
            .addresses
            .into_iter()
            .map(|address| rank(address, db.lookup(address), &costs, &regions))
            .collect();
        if self.json {
            return print_json(&answers);
        }
        for answer in &answers {
            let [address, country, lat, lon, accuracy, _, _, source] = lookup_row(&answer.found);
            println!(
                "{address}: country {country}, at {lat} {lon} within {accuracy}, from {source}"
            );
            print_rows(
                ["REGION", "RTT", "DISTANCE"],
                &answer.regions.iter().map(nearest_row).collect::<Vec<_>>(),
            );
        }
        Ok(())
    }
}

fn chosen(slugs: &[String]) -> anyhow::Result<Vec<&'static Region>> {
    if slugs.is_empty() {
        return Ok(catalogue().iter().collect());
    }
    let known = || {
        catalogue()
            .iter()
            .map(|region| region.slug.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let find = |slug: &String| {
        region(slug).ok_or_else(|| anyhow::anyhow!("no region `{slug}`; there are: {}", known()))
    };
    slugs.iter().map(find).collect()
}

fn rank(address: IpAddr, location: Location, costs: &CostTable, regions: &[&Region]) -> RankedFor {
    let ranked = |ranked: geo_db::Ranked| Ranked {
        region: regions[ranked.index].slug.to_string(),
        rtt_ms: ranked.rtt.map(|rtt| rtt.as_secs_f32() * 1000.0),
        km: ranked.km,
        pinned: ranked.pinned,
    };
    let regions = costs.nearest(&location).into_iter().map(ranked).collect();
    RankedFor {
        found: Found { address, location },
        regions,
    }
}

fn nearest_row(ranked: &Ranked) -> [String; 3] {
    let unknown = || "unknown".to_owned();
    [
        if ranked.pinned {
            format!("{} (pinned)", ranked.region)
        } else {
            ranked.region.clone()
        },
        ranked
            .rtt_ms
            .map_or_else(unknown, |ms| format!("{ms:.0} ms")),
        ranked.km.map_or_else(unknown, |km| format!("{km:.0} km")),
    ]
}

#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    data: Data,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let info = self.data.open()?.info();
        if self.json {
            return print_json(&info);
        }
        let rows: Vec<[String; 7]> = info.sources.iter().map(info_row).collect();
        print_rows(
            ["ROLE", "TYPE", "BUILT", "IPV4", "IPV6", "MEMORY", "FILE"],
            &rows,
        );
        Ok(())
    }
}

fn info_row(source: &geo_db::SourceInfo) -> [String; 7] {
    [
        format!("{:?}", source.role).to_lowercase(),
        source.kind.clone(),
        source.built.map_or_else(|| "-".to_owned(), age),
        source.v4_intervals.to_string(),
        source.v6_intervals.to_string(),
        format!("{} KiB", source.bytes / 1024),
        source
            .path
            .as_ref()
            .map_or_else(|| "built in".to_owned(), |path| path.display().to_string()),
    ]
}

fn age(built: SystemTime) -> String {
    match built.elapsed() {
        Ok(age) => format!("{} days ago", age.as_secs() / 86_400),
        Err(_) => "in the future".to_owned(),
    }
}
