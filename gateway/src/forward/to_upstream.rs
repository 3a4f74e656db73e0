//! A request to an endpoint of an upstream in this region, and to another endpoint if that fails and
//! may be repeated.

use http::Response;
use http::header::HOST;
use http::uri::PathAndQuery;
use serving::drain::Drain;

use super::body::ResponseBody;
use super::headers::{Forwarded, add_via};
use super::outgoing::{Attempt, Outgoing};
use crate::error::Error;
use crate::upstream::{Claim, Upstream};

/// Most endpoints one request is tried on.
const MAX_ATTEMPTS: usize = 3;

/// Sends `request` to an endpoint. Returns its response, and the claim that must live as long as the
/// response's body.
pub async fn to_upstream(
    upstream: &Upstream,
    strip_prefix: Option<&str>,
    request: &mut Outgoing,
    forwarded: &Forwarded<'_>,
    drain: &Drain,
) -> Result<(Response<ResponseBody>, Claim), Error> {
    let mut headers = request.headers();
    forwarded.apply(&mut headers);
    add_via(&mut headers, request.parts.version, forwarded.region);
    headers.insert(HOST, forwarded.host.clone());
    let path = stripped(request.path(), strip_prefix);

    upstream.retry_budget.earn();
    let mut tried = Vec::new();
    let mut failure = Error::NoUsableEndpoint;
    while let Some(claim) = upstream.claim(request.parts.uri.path(), &tried) {
        let endpoint = claim.endpoint().clone();
        let attempt = Attempt {
            client: &upstream.client,
            scheme: &endpoint.scheme,
            authority: &endpoint.authority,
            path: path.clone(),
            headers: headers.clone(),
            first_byte: upstream.timeouts.first_byte,
            idle: upstream.timeouts.idle,
        };
        match request.send(attempt, drain).await {
            Ok(response) => {
                // Health checks have their own opinion, which a single answer does not overrule.
                if upstream.health_check.is_none() && endpoint.is_down() {
                    endpoint.set_down(false);
                }
                return Ok((response, claim));
            }
            Err(error) => failure = error,
        }
        tracing::info!(upstream = %upstream.name, endpoint = %endpoint.authority, error = %failure, "attempt failed");
        if matches!(failure, Error::Connect(_)) {
            endpoint.set_down(true);
        }
        tried.push(endpoint);
        if tried.len() == MAX_ATTEMPTS
            || !request.may_retry(&failure)
            || !upstream.retry_budget.spend()
        {
            break;
        }
        upstream.retries.inc();
    }
    Err(failure)
}

/// Path and query without the prefix; what is left starts at the root.
fn stripped(whole: PathAndQuery, prefix: Option<&str>) -> PathAndQuery {
    let Some(rest) =
        prefix.and_then(|prefix| whole.as_str().strip_prefix(prefix.trim_end_matches('/')))
    else {
        return whole;
    };
    let rest = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    rest.parse().unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::stripped;

    #[test]
    fn a_prefix_is_taken_off_by_whole_segments() {
        for (path, prefix, expected) in [
            ("/ray/api/jobs?x=1", Some("/ray"), "/api/jobs?x=1"),
            ("/ray/api", Some("/ray/"), "/api"),
            ("/ray", Some("/ray"), "/"),
            ("/ray?x=1", Some("/ray"), "/?x=1"),
            ("/other", Some("/ray"), "/other"),
            ("/ray/api", None, "/ray/api"),
        ] {
            assert_eq!(
                stripped(path.parse().unwrap(), prefix).as_str(),
                expected,
                "{path} {prefix:?}"
            );
        }
    }
}
