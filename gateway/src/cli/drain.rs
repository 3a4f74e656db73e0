//! `gateway drain` and `gateway undrain`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use gateway::admin::{DrainAnswer, DrainRequest};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// What asking a gateway needs.
#[derive(Debug, Args)]
struct Asking {
    /// The admin listener of any region's gateway.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
    /// The file with the admin token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Who asks, for the dashboard.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    author: String,
    /// How long to wait until every region has heard, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Any region's gateway takes the order, for any region, and tells the others. It holds until it is undone,
over restarts, too. Exits with 0 when every region that is up has heard, with 1 when some have not in
time (they will), with 2 when the order was refused or nobody could be asked.

  gateway drain sgp1 --reason 'new disks' --token-file admin-token
  gateway drain sgp1 --reason 'new disks' --token-file admin-token --admin http://10.0.0.7:9090")]
pub(super) struct Drain {
    /// The region that is to get no users.
    region: String,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Also if no region is left that could take its users.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The region gets its users back a few at a time, over steering.slow_start.

  gateway undrain sgp1 --token-file admin-token")]
pub(super) struct Undrain {
    /// The region that is to get users again.
    region: String,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn drain(arguments: Drain) -> ExitCode {
    let order = DrainRequest {
        region: arguments.region,
        drain: true,
        reason: arguments.reason,
        author: arguments.asking.author.clone(),
        force: arguments.force,
    };
    run(&order, &arguments.asking)
}

pub(super) fn undrain(arguments: Undrain) -> ExitCode {
    let order = DrainRequest {
        region: arguments.region,
        drain: false,
        reason: arguments.reason,
        author: arguments.asking.author.clone(),
        force: false,
    };
    run(&order, &arguments.asking)
}

fn run(order: &DrainRequest, asking: &Asking) -> ExitCode {
    let answer = match ask(order, asking) {
        Ok(answer) => answer,
        Err(error) => return super::refuse(error),
    };
    if asking.json {
        match serde_json::to_string_pretty(&answer) {
            Ok(json) => println!("{json}"),
            Err(error) => return super::refuse(error),
        }
    } else {
        print(&answer);
    }
    if answer.complete {
        ExitCode::SUCCESS
    } else {
        eprintln!("gateway: some regions have not heard yet; they will when they can be reached");
        ExitCode::FAILURE
    }
}

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

fn ask(order: &DrainRequest, asking: &Asking) -> Result<DrainAnswer, String> {
    let token = std::fs::read_to_string(&asking.token_file)
        .map_err(|error| format!("--token-file {}: {error}", asking.token_file.display()))?;
    let admin = asking.admin.trim_end_matches('/');
    let request = Request::post(format!("{admin}/api/v1/drain?wait={}s", asking.wait))
        .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(
            serde_json::to_vec(order).map_err(|error| error.to_string())?,
        ))
        .map_err(|error| format!("--admin {admin} or the token cannot be used: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let patience = Duration::from_secs(u64::from(asking.wait.min(60)) + 5);
    let (status, body) = runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let exchange = async {
            let response = client.request(request).await.map_err(|error| {
                format!("{admin} cannot be asked ({error}); --admin may name any region's gateway")
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let body = body.map_err(|error| format!("{admin}: {error}"))?;
            Ok((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(patience, exchange).await;
        answered.unwrap_or_else(|_| Err(format!("{admin} did not answer in {patience:?}")))
    })?;
    if status != StatusCode::OK {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason was given");
        return Err(format!("{admin} refused ({status}): {detail}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{admin}: not an answer: {error}"))
}

fn print(answer: &DrainAnswer) {
    let order = &answer.order;
    let done = if order.drain { "drained" } else { "undrained" };
    println!("{} is {done} by {}", answer.region, order.author);
    println!("\nregion  status    has heard");
    for one in &answer.regions {
        let heard = if one.heard { "yes" } else { "not yet" };
        println!("{:<6}  {:<8}  {heard}", one.region, one.status);
    }
    if !answer.only_there.is_empty() {
        println!(
            "\nOnly drained regions can answer these routes, so their requests still go there: {}",
            answer.only_there.join(", ")
        );
    }
    if !answer.kept {
        println!(
            "\nThis gateway keeps the order in memory only: without state_directory a restart of all gateways loses it."
        );
    }
}
