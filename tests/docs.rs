//! Documentation that cannot go stale unnoticed: every command in it is run, what it promises is looked
//! for in the output, links lead somewhere, and the reference pages agree with a running edge.
//!
//! A fenced block marked `sh` is run by bash. The blocks of one page run in their order, in one shell, in
//! a directory of their own. A `text` block after it lists lines that the output must have; `…` in them
//! stands for anything, and runs of spaces count as one. A block marked `sh no-run` is not run, and the
//! HTML comment before it says why. Ports that a page names are replaced: the demo's by those of a running
//! demo, all others by free ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use asset_server::cache::status::CacheStatus;
use asset_server::cache::storability::NotStored;
use gateway::demo::samples::{self, Extent};
use gateway::demo::{Options, Ready, World};
use tempfile::TempDir;
use tests::{Client, eventually, program};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// A page takes a few seconds; this is for a machine that does much else.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// First port of the demo as documented: global HTTP and HTTPS, then own and admin of each region.
const DEMO_PORT: u16 = 8080;

// === Pages ===

/// A block of commands and the lines that it must print.
#[derive(Debug)]
struct Block {
    line: usize,
    commands: String,
    expected: Vec<String>,
    runs: bool,
    /// The HTML comment before it.
    reason: Option<String>,
}

#[derive(Debug)]
struct Page {
    name: String,
    text: String,
}

impl Page {
    fn read(name: &str) -> Self {
        let text =
            std::fs::read_to_string(root().join(name)).expect("the page is in the repository");
        Self {
            name: name.to_owned(),
            text,
        }
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut before = "";
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim_start();
            let Some(info) = trimmed.strip_prefix("```") else {
                if !trimmed.is_empty() {
                    before = trimmed;
                }
                continue;
            };
            let indent = line.len() - trimmed.len();
            let content: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            match info {
                "sh" | "sh no-run" => blocks.push(Block {
                    line: number + 1,
                    commands: content.join("\n"),
                    expected: Vec::new(),
                    runs: info == "sh",
                    reason: before
                        .strip_prefix("<!-- ")
                        .and_then(|comment| comment.strip_suffix(" -->"))
                        .map(str::to_owned),
                }),
                "text" => {
                    if let Some(block) = blocks.last_mut() {
                        block.expected = content.iter().map(|&line| line.to_owned()).collect();
                    }
                }
                _ => {}
            }
            before = "";
        }
        blocks
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in the repository")
}

fn markdown(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("the directory is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).expect("it is below the root");
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Pages whose commands are run.
fn pages() -> Vec<Page> {
    let mut names = ["README.md", "deploy/README.md", "docs/steering.md"]
        .map(str::to_owned)
        .to_vec();
    names.extend(markdown("docs/tasks"));
    names.iter().map(|name| Page::read(name)).collect()
}

// === What a page is run with ===

/// A running demo's addresses, in place of the documented ones.
struct Stage {
    ready: Ready,
    ports: BTreeMap<u16, u16>,
    programs: PathBuf,
}

impl Stage {
    fn new(world: &World) -> Self {
        let ready = world.ready();
        let mut urls = vec![&ready.global.http, &ready.global.https];
        for region in &ready.regions {
            urls.extend([&region.http, &region.admin]);
        }
        let dns = format!("dns://{}", ready.dns.address);
        urls.push(&dns);
        let ports = (DEMO_PORT..).zip(urls.into_iter().map(|url| port_of(url)));
        // The pages' programs are those that were built with this test.
        let [programs, ..] = ["gateway", "geo-db", "asset-server"].map(program);
        let programs = programs
            .parent()
            .expect("a program is in a directory")
            .to_owned();
        Self {
            ports: ports.collect(),
            ready,
            programs,
        }
    }

    /// `text` with addresses that work here. What is a free port once stays it for the page.
    fn adapt(&self, text: &str, page_ports: &mut BTreeMap<u16, u16>) -> String {
        let mut adapted = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("127.0.0.1") {
            let (before, from) = rest.split_at(at + "127.0.0.1".len());
            adapted.push_str(before);
            rest = from;
            // As in a URL, as a network, or as `dig` wants it.
            let lead = [":", "/", " -p "]
                .into_iter()
                .find(|lead| rest.starts_with(lead));
            let Some(lead) = lead else {
                continue;
            };
            let number = &rest[lead.len()..];
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            let documented = number[..digits].parse::<u16>().ok();
            // What is smaller is the length of a network's prefix.
            if let Some(documented) = documented.filter(|port| *port >= 1024) {
                let port = self.ports.get(&documented).copied();
                let port =
                    port.unwrap_or_else(|| *page_ports.entry(documented).or_insert_with(free_port));
                let _ = write!(adapted, "{lead}{port}");
                rest = &number[digits..];
            }
        }
        adapted.push_str(rest);
        adapted
            .replace(
                "https://ams3.digitaloceanspaces.com",
                &self.ready.s3.endpoint,
            )
            .replace("example-assets", &self.ready.s3.bucket)
            .replace("SPACES_KEY", &self.ready.s3.access_key)
            .replace("SPACES_SECRET", &self.ready.s3.secret_key)
    }

    /// Runs a page. Returns what is wrong with it, one entry a fault.
    async fn run(&self, page: &Page) -> Vec<String> {
        let blocks: Vec<Block> = page
            .blocks()
            .into_iter()
            .filter(|block| block.runs)
            .collect();
        if blocks.is_empty() {
            return Vec::new();
        }
        let directory = TempDir::new().expect("a directory can be made");
        let mut ports = BTreeMap::new();
        if page.name.starts_with("deploy/") {
            self.copy(
                &root().join("deploy/local"),
                &directory.path().join("deploy/local"),
                &mut ports,
            );
        }
        let mut script = String::from("exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
        for (number, block) in blocks.iter().enumerate() {
            let commands = self.adapt(&block.commands, &mut ports);
            let _ = write!(
                script,
                "printf '\\n@@begin {number}\\n'\n{commands}\nprintf '\\n@@end {number} %d\\n' $?\n"
            );
        }
        let output = match self.bash(&script, directory.path()).await {
            Ok(output) => output,
            Err(fault) => return vec![format!("{}: {fault}", page.name)],
        };
        let faults = blocks.iter().enumerate();
        faults
            .filter_map(|(number, block)| {
                let fault = judge(number, block, &output)?;
                Some(format!(
                    "{}:{}: {fault}\n{}",
                    page.name, block.line, block.commands
                ))
            })
            .collect()
    }

    /// What an asset server exposes that runs as a process of its own.
    async fn metrics_of_an_asset_server(&self) -> Result<String, String> {
        let (http, admin) = (free_port(), free_port());
        let script = format!(
            "cat > asset-server.yaml <<'END'
listeners: [{{address: \"127.0.0.1:{http}\"}}]
admin: {{address: \"127.0.0.1:{admin}\"}}
assets:
  mounts: [{{path: /assets/, origin: {{directory: {{path: .}}}}}}]
  disk: {{path: cache, size: 10MiB}}
END
asset-server run --config asset-server.yaml 2> log & trap 'kill $!; wait' EXIT
curl -s --retry 5 --retry-connrefused http://127.0.0.1:{admin}/metrics || cat log"
        );
        let directory = TempDir::new().expect("a directory can be made");
        self.bash(&script, directory.path()).await
    }

    /// What a gateway exposes that has certificates by ACME. Its authority is away.
    async fn metrics_of_a_gateway_with_certificates(&self) -> Result<String, String> {
        let (https, admin) = (free_port(), free_port());
        let script = format!(
            "mkdir store
openssl rand -base64 32 > key
cat > gateway.yaml <<'END'
region: ams3
regions: [{{name: ams3}}]
listeners: [{{name: https, address: \"127.0.0.1:{https}\", acme: [edge.test]}}]
admin: {{address: \"127.0.0.1:{admin}\"}}
certificates:
  acme: {{directory_url: \"https://127.0.0.1:1/\", terms_of_service_agreed: true, challenge: tls-alpn-01}}
  store: {{directory: {{path: store}}}}
  keys: [{{file: key}}]
routes: []
END
gateway run --config gateway.yaml 2> log & trap 'kill $!; wait' EXIT
curl -s --retry 5 --retry-connrefused http://127.0.0.1:{admin}/metrics || cat log"
        );
        let directory = TempDir::new().expect("a directory can be made");
        self.bash(&script, directory.path()).await
    }

    fn copy(&self, from: &Path, to: &Path, ports: &mut BTreeMap<u16, u16>) {
        std::fs::create_dir_all(to).expect("a directory can be made");
        for entry in std::fs::read_dir(from).expect("the directory is there") {
            let path = entry.expect("it can be listed").path();
            let target = to.join(path.file_name().expect("an entry has a name"));
            if path.is_dir() {
                self.copy(&path, &target, ports);
            } else {
                // Copying first keeps the mode of scripts.
                std::fs::copy(&path, &target).expect("the file can be copied");
                if let Ok(text) = std::fs::read_to_string(&path) {
                    std::fs::write(&target, self.adapt(&text, ports)).expect("it can be written");
                }
            }
        }
    }

    async fn bash(&self, script: &str, directory: &Path) -> Result<String, String> {
        let region = |name: &str| self.ready.regions.iter().find(|region| region.name == name);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("bash")
            .args(["-c", script])
            .current_dir(directory)
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("S3", &self.ready.s3.endpoint)
            .env("ADMIN_TOKEN", &self.ready.admin_token)
            .env(
                "NYC3_CONFIG",
                region("nyc3").map_or("", |region| &region.config),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("bash cannot be started: {error}"))?;
        let group = child.id().map(|id| format!("-{id}"));
        let mut pipe = child.stdout.take().expect("it is piped");
        let mut output = Vec::new();
        let ended = tokio::time::timeout(PAGE_TIMEOUT, pipe.read_to_end(&mut output)).await;
        // Whatever a page has started and not ended.
        if let Some(group) = group {
            let kill = Command::new("bash")
                .args(["-c", "kill \"$@\"", "kill", "-9", "--", &group])
                .stderr(Stdio::null())
                .status();
            let _ = kill.await;
        }
        let output = String::from_utf8_lossy(&output).into_owned();
        match ended {
            Ok(_) => Ok(output),
            Err(_) => Err(format!("does not end; so far it printed\n{output}")),
        }
    }
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("an address of the demo has a port")
}

/// A port below those that the kernel gives to connections and to whoever asks for any.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100).unwrap_or(0) * 100;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What is wrong with a block's output, if anything is.
fn judge(number: usize, block: &Block, output: &str) -> Option<String> {
    let begin = format!("@@begin {number}\n");
    let end = format!("\n@@end {number} ");
    let Some((printed, after)) = output
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end))
    else {
        return Some("the shell ended before this block did".to_owned());
    };
    let status = after.lines().next().unwrap_or_default();
    if status != "0" {
        return Some(format!("exit code {status}, after printing\n{printed}"));
    }
    let missing = block.expected.iter().find(|expected| {
        let expected = single_spaced(expected);
        !printed
            .lines()
            .any(|line| is_like(&single_spaced(line), &expected))
    })?;
    Some(format!("should print {missing:?}, but prints\n{printed}"))
}

fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `line` is `pattern`, where `…` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

// === Tests ===

#[test]
fn ellipses_stand_for_anything() {
    for (line, pattern, alike) in [
        ("hello", "hello", true),
        ("hello", "hell", false),
        ("hello world", "hello …", true),
        ("a hit; ttl=7; x", "…hit; ttl=…", true),
        ("abcabc", "a…b…c", true),
        ("ac", "a…b…c", false),
        ("anything", "…", true),
    ] {
        assert_eq!(is_like(line, pattern), alike, "{line:?} {pattern:?}");
    }
}

#[test]
fn commands_that_are_not_run_say_why() {
    for page in pages() {
        for block in page.blocks() {
            let good = block.runs || block.reason.is_some();
            assert!(
                good,
                "{}:{}: no HTML comment says why this is not run",
                page.name, block.line
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_commands_and_metrics_are_those_of_a_running_edge() {
    let options = Options {
        binary: program("gateway"),
        port: 0,
        extent: Extent::Small,
        distance: true,
        slow_start: "2s".to_owned(),
    };
    let world = World::start(&options).await.expect("the demo starts");
    let large = samples::large().to_object();
    world.store.put(large).await.expect("the store takes it");
    let stage = Stage::new(&world);
    // Readers come to a demo that has been up for a while.
    for region in &stage.ready.regions {
        let client = Client::new(&region.admin, "127.0.0.1");
        let all_up = async || {
            let regions = client.get("/api/v1/regions").await.json();
            let regions = regions.as_array().cloned().unwrap_or_default();
            !regions.is_empty() && regions.iter().all(|region| region["status"] == "up")
        };
        eventually("the regions see each other up", all_up).await;
    }

    let pages = pages();
    let runs = pages.iter().map(|page| stage.run(page));
    let mut faults = futures_util::future::join_all(runs).await.concat();
    faults.extend(metrics_faults(&stage).await);
    world.stop().await.expect("the demo ends");
    assert!(
        faults.is_empty(),
        "{} faults:\n\n{}",
        faults.len(),
        faults.join("\n\n")
    );
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut names = vec!["README.md".to_owned()];
    for directory in ["docs", "deploy"] {
        names.extend(markdown(directory));
    }
    let mut broken = Vec::new();
    for name in names {
        let page = Page::read(&name);
        let folder = root().join(&name);
        let folder = folder.parent().expect("a page is in a folder");
        for target in links(&page.text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let file = if path.is_empty() {
                root().join(&name)
            } else {
                folder.join(path)
            };
            let found = file.exists()
                && (heading.is_empty()
                    || std::fs::read_to_string(&file)
                        .is_ok_and(|text| headings(&text).any(|known| known == heading)));
            if !found {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links to nothing:\n{}",
        broken.join("\n")
    );
}

/// Targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// Headings as links name them: lower case, hyphens for spaces, nothing else but letters and digits.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}

#[test]
fn every_top_level_key_is_in_its_example_and_on_the_page() {
    let page = Page::read("docs/configuration.md").text;
    for (server, example) in [
        ("gateway", "gateway/config/gateway.example.yaml"),
        (
            "asset-server",
            "asset-server/config/asset-server.example.yaml",
        ),
    ] {
        let schema = std::process::Command::new(program(server))
            .arg("schema")
            .output()
            .expect("the program runs");
        let schema: serde_json::Value =
            serde_json::from_slice(&schema.stdout).expect("a schema is JSON");
        let keys = schema["properties"].as_object();
        let example_text = std::fs::read_to_string(root().join(example)).expect("it is there");
        for key in keys.expect("a configuration has keys").keys() {
            let written = example_text
                .lines()
                .any(|line| line.starts_with(&format!("{key}:")));
            assert!(written, "{key} is not in {example}");
            assert!(
                page.contains(&format!("`{key}`")),
                "{key} is not in docs/configuration.md"
            );
        }
    }
}

#[test]
fn every_word_of_cache_status_is_explained() {
    let page = Page::read("docs/asset-server.md").text;
    let glossary = Page::read("docs/glossary.md").text;
    for status in CacheStatus::ALL {
        let word = status.as_str();
        for (name, text) in [("asset-server", &page), ("glossary", &glossary)] {
            assert!(
                text.contains(&format!("| `{word}` |")),
                "{word} has no row in docs/{name}.md"
            );
        }
        let header = status.header("asset-ams3", None, None);
        let header = header.to_str().expect("it is text");
        let parameters = header.trim_start_matches("asset-ams3; ");
        assert!(
            page.contains(&format!("`{parameters}`")),
            "{parameters} is not in docs/asset-server.md"
        );
    }
    for reason in NotStored::ALL {
        let word = reason.as_str();
        assert!(
            page.contains(&format!("| `{word}` |")),
            "{word} has no row in docs/asset-server.md"
        );
    }
}

// === Metrics ===

/// A metric family: kind, and names of its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

async fn metrics_faults(stage: &Stage) -> Vec<String> {
    let region = &stage.ready.regions[0];
    // A family whose labels are looked up is there from its first use on.
    Client::new(&region.http, "127.0.0.1").get("/nowhere").await;
    let gateway = Client::new(&region.admin, "127.0.0.1")
        .get("/metrics")
        .await;
    let alone = match stage.metrics_of_an_asset_server().await {
        Ok(metrics) => metrics,
        Err(fault) => return vec![format!("no metrics of an asset server: {fault}")],
    };
    let certificates = match stage.metrics_of_a_gateway_with_certificates().await {
        Ok(metrics) => metrics,
        Err(fault) => return vec![format!("no metrics of certificates: {fault}")],
    };
    let mut exposed = families(&String::from_utf8_lossy(&gateway.body));
    exposed.extend(families(&certificates));
    exposed.extend(families(&alone));
    let documented = documented(&Page::read("docs/metrics.md").text);
    let names: BTreeSet<&String> = exposed.keys().chain(documented.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| exposed.get(*name) != documented.get(*name));
    differing
        .map(|name| {
            let (is, says) = (exposed.get(name), documented.get(name));
            format!("docs/metrics.md: {name}: the servers have {is:?}, the page says {says:?}")
        })
        .collect()
}

/// Families in the text format of Prometheus.
fn families(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            continue;
        }
        let Some((sample, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let suffixes = ["", "_bucket", "_sum", "_count"];
        let name = suffixes.iter().find_map(|suffix| {
            sample
                .strip_suffix(suffix)
                .filter(|name| families.contains_key(*name))
        });
        if let Some((_, known)) = name.and_then(|name| families.get_mut(name)) {
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(label, _)| label.trim_start_matches('}').to_owned());
            known.extend(labels.filter(|label| label != "le"));
        }
    }
    families
}

/// Families in rows such as "| `name` | kind | `label`, `label` | meaning |".
fn documented(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells.as_slice() else {
            continue;
        };
        let Some(name) = name
            .strip_prefix('`')
            .and_then(|name| name.strip_suffix('`'))
        else {
            continue;
        };
        if !["counter", "gauge", "histogram"].contains(kind) {
            continue;
        }
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned);
        families.insert(name.to_owned(), ((*kind).to_owned(), labels.collect()));
    }
    families
}
