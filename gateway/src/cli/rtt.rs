//! `gateway rtt`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use gateway::config::{self, Config};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

#[derive(Debug, Args)]
#[command(after_help = "\
Speaks with the gateway that runs with this configuration. A file has one measurement a line:
prefix,region,rtt_ms,samples,measured_at.

  gateway rtt export --config gateway.yaml > rtt.csv
  gateway rtt import --config gateway.yaml rtt.csv")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print what is known.
    Export {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Print JSON instead of CSV.
        #[arg(long)]
        json: bool,
    },
    /// Add what a file says. Newer measurements stay.
    Import {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// CSV; `-` reads standard input.
        file: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.verb {
        Verb::Export { config, json } => export(config, *json),
        Verb::Import { config, file } => import(config, file),
    };
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => super::refuse(error),
    }
}

fn export(config: &Path, json: bool) -> Result<String, String> {
    let config = config::load(config).map_err(|error| error.to_string())?;
    let format = if json { "json" } else { "csv" };
    ask(
        &config,
        Method::GET,
        &format!("/api/v1/rtt?format={format}"),
        Bytes::new(),
    )
}

fn import(config: &Path, file: &Path) -> Result<String, String> {
    let config = config::load(config).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut text))
    };
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    let answer = ask(&config, Method::POST, "/api/v1/rtt", text.into())?;
    Ok(format!("{answer}\n"))
}

fn ask(config: &Config, method: Method, path: &str, body: Bytes) -> Result<String, String> {
    let url = format!("http://{}{path}", config.admin);
    let mut request = Request::builder().method(method).uri(&url);
    if let Some(token) = &config.admin_token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request
        .header(header::CONTENT_TYPE, "text/csv")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let answer = tokio::time::timeout(Duration::from_secs(30), client.request(request));
        let response = answer
            .await
            .map_err(|_| format!("{url} did not answer within 30 s"))?
            .map_err(|_| format!("no gateway answers at {}", config.admin))?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status == StatusCode::OK {
            return Ok(text);
        }
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem.get("detail").and_then(|detail| detail.as_str());
        Err(detail.map_or_else(|| format!("{url} answered {status}"), str::to_owned))
    })
}
