//! The format of the table, and how it is read.
//!
//! ```yaml
//! about: What this file is about.
//! cases:
//!   - name: A sentence that is true while the case passes
//!     clause: RFC 9111 4.2.1          # or a list of them
//!     steps:
//!       - request: {method: GET, path: /suffix?query, headers: {range: bytes=0-1}, body: text}
//!         origin: {status: 200, headers: {cache-control: max-age=60, date: -5}, body: text}
//!         expect: {from: origin, status: 200, headers: {age: null}, cache_status: [stored]}
//! ```
//!
//! Left out, a request is a GET of the case's own path; an origin answers 200 with the body `step N`;
//! the status must be 200. Dates may be written as seconds from now. A header of `null` is not sent, or
//! must not be there. [`crate::matcher`] has what else may be said of a value.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::Protocol;

/// One file of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    /// Its file's name without the ending.
    #[serde(skip)]
    pub(crate) name: String,
    /// What the rules in it have in common.
    #[serde(rename = "about")]
    pub(crate) _about: String,
    /// The cases.
    pub(crate) cases: Vec<Case>,
}

/// One behaviour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// A sentence that is true while the case passes.
    pub(crate) name: String,
    /// Where it is written.
    clause: OneOrMore<String>,
    /// The protocol that it is about; else it holds for each.
    pub(crate) only: Option<Protocol>,
    /// What is done, in order. A step that fails ends the case.
    pub(crate) steps: Vec<Step>,
}

impl Case {
    /// The clauses that it names.
    pub(crate) fn clauses(&self) -> impl Iterator<Item = &str> {
        self.clause.as_slice().iter().map(String::as_str)
    }
}

/// One request, or one purge, and what must be true afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What the client sends.
    #[serde(default)]
    pub(crate) request: Request,
    /// How many clients send it at the same time.
    #[serde(default = "one")]
    pub(crate) times: usize,
    /// What the origin answers, if it is asked. Of several, the first goes to the first request that
    /// reaches it in this step, and the last to all that follow.
    #[serde(default)]
    pub(crate) origin: OneOrMore<Answer>,
    /// What must be true.
    #[serde(default)]
    pub(crate) expect: Expect,
    /// Instead of a request: purge this, `{key: /suffix}` or `{prefix: /suffix}`.
    pub(crate) purge: Option<Map<String, Value>>,
    /// Instead of a request: kill the asset server and start it again. Only in `alone`, where no other
    /// case runs meanwhile.
    #[serde(default)]
    pub(crate) restart: bool,
    /// Seconds to wait before the step.
    #[serde(default)]
    pub(crate) wait: f64,
    /// The step is repeated until it passes: something happens in the background.
    #[serde(default)]
    pub(crate) eventually: bool,
}

/// What the client sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Appended to the case's own path, as it is.
    pub(crate) path: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Option<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            path: String::new(),
            headers: Map::new(),
            body: None,
        }
    }
}

/// What the origin answers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    /// Added to `date: 0` and `content-type: text/plain`, which `null` takes away. `$PATH` stands for
    /// the case's own path.
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Option<String>,
    /// The body is sent so many times over.
    pub(crate) repeat: Option<usize>,
    /// It answers 304 where `If-None-Match` has the answer's tag.
    pub(crate) evaluate: bool,
    /// It closes the connection instead.
    pub(crate) disconnect: bool,
    /// It closes the connection after so many bytes of the body.
    pub(crate) truncate: Option<usize>,
    /// It does not say how long the body is.
    pub(crate) chunked: bool,
    /// Seconds before it answers.
    pub(crate) delay: f64,
}

/// What must be true after a step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// Who answered.
    pub(crate) from: Option<Source>,
    /// One of these; 200 where nothing is said.
    pub(crate) status: Option<OneOrMore<u16>>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Option<String>,
    pub(crate) body_length: Option<usize>,
    /// Pieces of the body.
    pub(crate) body_has: Vec<String>,
    /// The body breaks off: a client can tell that it is not whole.
    pub(crate) cut: bool,
    /// Headers of the request that the origin saw last, in the background where one is expected there.
    pub(crate) seen: Map<String, Value>,
    pub(crate) seen_method: Option<String>,
    /// Path and query after the case's own path.
    pub(crate) seen_path: Option<String>,
    pub(crate) seen_body: Option<String>,
    /// How many requests the origin saw.
    pub(crate) requests: Option<usize>,
    /// How many it sees in the end, whoever caused them; the answer did not wait for them.
    pub(crate) background: Option<usize>,
    /// Words of our member of `Cache-Status`, such as `hit` or `fwd=stale`; `!hit` must be missing.
    pub(crate) cache_status: Vec<String>,
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The cache: the origin was not asked before the answer.
    Cache,
    /// The origin, asked in this step.
    Origin,
    /// The origin was asked conditionally.
    Revalidated,
}

/// A value, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::More(values) => values,
        }
    }
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

fn one() -> usize {
    1
}

/// Reads the table in a directory, in the order of the files' names: `""`, or `alone` for the cases that
/// have an asset server for themselves. It lives as long as the test.
pub(crate) fn load(directory: &str) -> &'static [Family] {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conformance")
        .join(directory);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .expect("the table is beside its runner")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    let families: Vec<Family> = files.iter().map(|file| read(file)).collect();
    families.leak()
}

fn read(file: &Path) -> Family {
    let text = std::fs::read_to_string(file).expect("it can be read");
    // By way of a tree, so that headers may be text, numbers or lists.
    let tree: Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    for case in tree["cases"].as_array().into_iter().flatten() {
        if let Err(error) = Case::deserialize(case) {
            panic!("{}: {}: {error}", file.display(), case["name"]);
        }
    }
    let mut family =
        Family::deserialize(&tree).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    family.name = file
        .file_stem()
        .expect("it has a name")
        .to_string_lossy()
        .into_owned();
    family
}
