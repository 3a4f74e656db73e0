//! `asset-server purge`: asks one instance to purge everywhere, and says who has done it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use asset_server::Purge;
use asset_server::admin_client::AdminClient;
use asset_server::purge_log::answer::PurgeAnswer;
use clap::Args;
use http::StatusCode;
use serving::secret::SecretSource;
use serving::units;

/// Longest that the instance may take beside the wait.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(super) struct Arguments {
    /// Admin listener of any instance: http://127.0.0.1:9180.
    #[arg(long, value_name = "URL")]
    admin: String,
    /// File with the admin token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    #[command(flatten)]
    what: What,
    /// How long to wait until everybody has done it.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    wait: units::Duration,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One object, by the path of its URL, decoded: /assets/logo.svg.
    #[arg(long, value_name = "PATH")]
    key: Option<String>,
    /// Every object whose path starts like this: /assets/v1/.
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Every object whose origin gave it this surrogate key.
    #[arg(long, value_name = "KEY")]
    surrogate_key: Option<String>,
}

impl What {
    fn purge(&self) -> Option<Purge> {
        let key = self.key.clone().map(Purge::Key);
        let prefix = self.prefix.clone().map(Purge::Prefix);
        let surrogate_key = self.surrogate_key.clone().map(Purge::SurrogateKey);
        key.or(prefix).or(surrogate_key)
    }
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ask(arguments)));
    let answer = match asked {
        Ok(answer) => answer,
        Err(why) => return super::refuse(&why),
    };
    let text = match arguments.json {
        true => serde_json::to_string(&answer).unwrap_or_default() + "\n",
        false => table(&answer),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    match answer.complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn ask(arguments: &Arguments) -> Result<PurgeAnswer, String> {
    let token = SecretSource::File(arguments.token_file.clone())
        .load(std::path::Path::new(""))
        .map_err(|error| error.to_string())?;
    let client = AdminClient::new(Some(&token)).map_err(|error| error.to_string())?;
    let body = serde_json::to_vec(&arguments.what.purge()).map_err(|error| error.to_string())?;
    let wait = arguments.wait.get();
    let url = format!(
        "{}/api/v1/purge?wait={}ms",
        arguments.admin.trim_end_matches('/'),
        wait.as_millis()
    );
    let answered = client.post(&url, body, wait + LIMIT).await;
    let (status, body) = answered.map_err(|error| format!("{}: {error}", arguments.admin))?;
    let text = String::from_utf8_lossy(&body);
    match status {
        StatusCode::OK | StatusCode::ACCEPTED => {
            serde_json::from_str(&text).map_err(|_| "the answer makes no sense".to_owned())
        }
        status => {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or("it says no more");
            Err(format!("{}: {status}: {detail}", arguments.admin))
        }
    }
}

/// One line for each instance, and what it comes to.
fn table(answer: &PurgeAnswer) -> String {
    let mut text = String::new();
    let names = answer.instances.iter().map(|i| i.name.to_string().len());
    let width = names.max().unwrap_or(0);
    for instance in &answer.instances {
        let name = instance.name.to_string();
        let state = if instance.done { "done" } else { "pending" };
        let detail = match (&instance.removed, &instance.why) {
            (Some(r), _) => format!(
                "{} from memory, {} from disk, {} fills",
                r.memory, r.disk, r.fills
            ),
            (None, Some(why)) => why.clone(),
            (None, None) => String::new(),
        };
        let line = format!("{name:width$}  {state:7}  {detail}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if let Some(error) = &answer.log_error {
        let _ = writeln!(text, "not in the log: {error}");
    }
    let outcome = match answer.complete {
        true => "purged everywhere".to_owned(),
        false => format!("not yet in {}", answer.regions.pending.join(", ")),
    };
    let _ = writeln!(text, "{}: {outcome}", answer.id);
    text
}
