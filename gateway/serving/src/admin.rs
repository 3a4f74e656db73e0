//! What every private listener answers: `/livez`, `/readyz`, `/metrics`; and the token that changing
//! anything there needs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use serde::Serialize;
use serde_json::json;

use crate::drain::Drain;
use crate::problem::Problem;
use crate::secret::Secret;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, such as `origin models`.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
    /// Whether it keeps the server from being ready; otherwise it serves on with less.
    pub blocking: bool,
}

type Readiness = dyn Fn() -> Vec<Finding> + Send + Sync;

/// The state behind the endpoints.
#[derive(Clone)]
struct Admin {
    registry: Registry,
    drain: Drain,
    readiness: Arc<Readiness>,
}

/// The endpoints that both servers have. `readiness` is asked each time; without a
/// blocking finding the server is ready.
pub fn router(
    registry: Registry,
    drain: Drain,
    readiness: impl Fn() -> Vec<Finding> + Send + Sync + 'static,
) -> Router {
    Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Admin {
            registry,
            drain,
            readiness: Arc::new(readiness),
        })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let mut findings = (admin.readiness)();
    if admin.drain.has_started() {
        findings.push(Finding {
            what: "server".into(),
            why: "draining".into(),
            blocking: true,
        });
    }
    let ready = !findings.iter().any(|finding| finding.blocking);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        axum::Json(json!({"ready": ready, "findings": findings})),
    )
        .into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Lets whatever changes state through to `router` only with `Authorization: Bearer TOKEN`; reads are
/// open. Without a configured token nothing can be changed.
pub fn require_token(router: Router, token: Option<Secret>) -> Router {
    let token = Arc::new(token);
    router.layer(axum::middleware::from_fn(
        move |request: Request, next: Next| {
            let token = token.clone();
            async move {
                let detail = match check(&request, token.as_ref().as_ref()) {
                    Ok(()) => return next.run(request).await,
                    Err(detail) => detail,
                };
                let problem = Problem {
                    status: StatusCode::UNAUTHORIZED,
                    reason: "admin_token",
                    detail,
                    request_id: "",
                    proxy: "admin",
                    proxy_error: None,
                };
                let mut response = problem.into_response();
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    header::HeaderValue::from_static("Bearer"),
                );
                response.map(axum::body::Body::from)
            }
        },
    ))
}

fn check(request: &Request, token: Option<&Secret>) -> Result<(), &'static str> {
    if request.method().is_safe() {
        return Ok(());
    }
    let token =
        token.ok_or("this changes state, and no admin token is configured: set admin.token")?;
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(given) if token.matches(given) => Ok(()),
        Some(_) => Err("this is not the admin token"),
        None => Err("this changes state: send the admin token as a bearer token"),
    }
}
