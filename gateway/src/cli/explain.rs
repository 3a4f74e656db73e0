//! `gateway explain`

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use gateway::config::{self, Config};
use gateway::steering::{ALL_UP, Explanation, Standing, explain};
use geo_db::{CostTable, GeoDb};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

#[derive(Debug, Args)]
#[command(after_help = "\
Asks the gateway that runs with this configuration, so that health and load count. If none runs here,
every region is taken to be up, and the output says so.

  gateway explain --config gateway.yaml 81.2.69.142
  gateway explain --config gateway.yaml --route jobs --json 81.2.69.142")]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A route; only regions that have its upstream are candidates.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// The host that the client asks for; it may be a tenant's.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The client's address.
    ip: IpAddr,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return super::refuse(error),
    };
    let explanation = match running(&config, arguments) {
        Some(explanation) => explanation,
        None => match alone(&config, arguments) {
            Ok(explanation) => explanation,
            Err(error) => return super::refuse(error),
        },
    };
    if arguments.json {
        match serde_json::to_string_pretty(&explanation) {
            Ok(json) => println!("{json}"),
            Err(error) => return super::refuse(error),
        }
    } else {
        print(&explanation);
    }
    ExitCode::SUCCESS
}

/// What the gateway that runs here says.
fn running(config: &Config, arguments: &Arguments) -> Option<Explanation> {
    let route = arguments
        .route
        .as_ref()
        .map(|route| format!("&route={route}"))
        .unwrap_or_default();
    let host = arguments
        .host
        .as_ref()
        .map(|host| format!("&host={host}"))
        .unwrap_or_default();
    let url = format!(
        "http://{}/api/v1/explain?ip={}{route}{host}",
        config.admin, arguments.ip
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let request = Request::get(url).body(Empty::new()).ok()?;
        let response = tokio::time::timeout(Duration::from_secs(2), client.request(request))
            .await
            .ok()?
            .ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        serde_json::from_slice(&response.into_body().collect().await.ok()?.to_bytes()).ok()
    })
}

/// What the configuration says while every region is up.
fn alone(config: &Config, arguments: &Arguments) -> Result<Explanation, String> {
    let geo = GeoDb::open(&config.geo).map_err(|error| error.to_string())?;
    let costs = CostTable::new(&config.regions.points()).map_err(|error| error.to_string())?;
    let host = arguments.host.as_deref().unwrap_or_default();
    let rules = config
        .rules(arguments.route.as_deref(), host)
        .ok_or_else(|| format!("no route is named {:?}", arguments.route))?;
    let location = geo.lookup(arguments.ip);
    let preference = rules.preference_of(&config.preferences, arguments.ip, &location);
    let standing = |index: gateway::region::RegionIndex| {
        let weight = config.regions.of(index).weight;
        rules.apply(Standing { weight, ..ALL_UP }, index, preference)
    };
    Ok(explain(
        &config.regions,
        &geo,
        &costs,
        arguments.ip,
        None,
        standing,
        false,
    ))
}

fn print(explanation: &Explanation) {
    let place = match (
        &explanation.country,
        explanation.latitude,
        explanation.longitude,
        explanation.accuracy_km,
    ) {
        (Some(country), Some(latitude), Some(longitude), Some(km)) => {
            format!("{country}, {latitude:.2} {longitude:.2}, within {km:.0} km")
        }
        (Some(country), ..) => country.clone(),
        _ => "unknown place".to_owned(),
    };
    println!(
        "{} is in {place} (source: {})",
        explanation.client, explanation.source
    );
    if !explanation.live {
        println!(
            "No gateway runs with this configuration here, so every region is taken to be up."
        );
    }
    if let Some(region) = &explanation.explores {
        println!("For the next minutes DNS answers name {region}, to learn how far it is.");
    }
    println!("\n     region  expected RTT  from      distance  status    share  reason");
    for (at, place) in explanation.places.iter().enumerate() {
        let number = |value: Option<f32>, unit: &str| {
            value.map_or("–".to_owned(), |value| format!("{value:.0} {unit}"))
        };
        println!(
            "{:>3}  {:<6}  {:>12}  {:<8}  {:>8}  {:<8}  {:>4.0}%  {}",
            at + 1,
            place.region,
            number(place.expected_rtt_ms, "ms"),
            place.rtt_source,
            number(place.km, "km"),
            place.status,
            place.share * 100.0,
            place.reason,
        );
    }
}
