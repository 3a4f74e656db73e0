//! The scripted origin: it answers each case's requests as the case's present step says, and
//! remembers what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;

use crate::case::{Answer, Step};
use crate::matcher;

/// Names the step in which the origin made an answer, so that a stored one is told from a new one.
pub(crate) const STEP: HeaderName = HeaderName::from_static("origin-step");

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The origin broke off.
#[derive(Debug, thiserror::Error)]
#[error("as the case says")]
struct Disconnected;

/// A request that reached the origin.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query after the case's own path.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// One case's part of the origin.
pub(crate) struct Script {
    path: String,
    steps: &'static [Step],
    now: SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    step: usize,
    seen: Vec<Seen>,
}

impl Script {
    /// From now on, requests belong to this step.
    pub(crate) fn enter(&self, step: usize) {
        *self.state() = State {
            step,
            seen: Vec::new(),
        };
    }

    /// What reached the origin since the step began.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The origin of all cases.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Arc<Script>>>>,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scripts: Arc<Mutex<HashMap<String, Arc<Script>>>> = Arc::default();
        let known = scripts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = known.clone();
                let service = service_fn(move |request| answer(known.clone(), request));
                let connection = http1::Builder::new()
                    .auto_date_header(false)
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { address, scripts }
    }

    /// Answers requests under `path` by these steps.
    pub(crate) fn script(
        &self,
        path: &str,
        steps: &'static [Step],
        now: SystemTime,
    ) -> Arc<Script> {
        let script = Arc::new(Script {
            path: path.to_owned(),
            steps,
            now,
            state: Mutex::default(),
        });
        self.scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), script.clone());
        script
    }
}

async fn answer(
    scripts: Arc<Mutex<HashMap<String, Arc<Script>>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Disconnected> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let found = {
        let scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = scripts
            .values()
            .filter(|script| path.starts_with(&script.path));
        longest.max_by_key(|script| script.path.len()).cloned()
    };
    let Some(script) = found else {
        let mut nothing = Response::new(whole(Bytes::from_static(b"no such case")));
        *nothing.status_mut() = http::StatusCode::NOT_FOUND;
        return Ok(nothing);
    };
    let body = body.collect().await.map_err(|_| Disconnected)?.to_bytes();
    let seen = Seen {
        method: parts.method.to_string(),
        path: path
            .strip_prefix(&script.path)
            .unwrap_or_default()
            .to_owned(),
        headers: parts.headers,
        body,
    };
    let tags = seen.headers.get(IF_NONE_MATCH).cloned();
    let (step, nth) = {
        let mut state = script.state();
        state.seen.push(seen);
        (state.step, state.seen.len() - 1)
    };
    let fallback = Answer::default();
    let written = script.steps[step].origin.as_slice();
    let written = written.get(nth).or(written.last()).unwrap_or(&fallback);
    tokio::time::sleep(Duration::from_secs_f64(written.delay)).await;
    if written.disconnect {
        return Err(Disconnected);
    }
    Ok(respond(written, step, &script, tags.as_ref()))
}

fn respond(
    written: &Answer,
    step: usize,
    script: &Script,
    tags: Option<&HeaderValue>,
) -> Response<Body> {
    let etag = written.headers.get("etag").and_then(|etag| etag.as_str());
    let known = etag.zip(tags.and_then(|tags| tags.to_str().ok()));
    let status = match known {
        Some((etag, tags)) if written.evaluate && tags.contains(etag) => 304,
        _ => written.status.unwrap_or(200),
    };
    let mut headers = HeaderMap::new();
    let standard = json!({"date": 0, "content-type": "text/plain"});
    matcher::write(
        &mut headers,
        standard.as_object().expect("it is one"),
        script.now,
    );
    headers.insert(STEP, HeaderValue::from(step));
    let body = match (&written.body, status) {
        (_, 204 | 304) => Bytes::new(),
        (Some(body), _) => Bytes::from(body.repeat(written.repeat.unwrap_or(1))),
        (None, _) => Bytes::from(format!("step {}", step + 1)),
    };
    if status == 304 {
        headers.remove(CONTENT_TYPE);
    }
    matcher::write(&mut headers, &written.headers, script.now);
    for value in headers.values_mut() {
        let filled = value
            .to_str()
            .map(|text| text.replace("$PATH", &script.path));
        if let Some(filled) = filled
            .ok()
            .and_then(|text| HeaderValue::try_from(text).ok())
        {
            *value = filled;
        }
    }
    let body = match written.truncate {
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            let sent = Frame::data(body.slice(..length.min(body.len())));
            // Not at once: what was sent before has to leave first.
            let broken = stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("as the case says"))
            });
            if written.chunked {
                headers.remove(CONTENT_LENGTH);
            }
            StreamBody::new(stream::iter([Ok(sent)]).chain(broken)).boxed_unsync()
        }
        None if written.chunked => {
            StreamBody::new(stream::iter([Ok(Frame::data(body))])).boxed_unsync()
        }
        None => whole(body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = headers;
    response
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}
