//! Cross-origin requests: what a page of another origin may read (the Fetch standard, section 3.2 "CORS
//! protocol").
//!
//! A request without `Origin` costs one look into its headers. Everything that is sent is made when the
//! configuration is read. Own code, since tower-http's layer would wrap every response's future and knows
//! no wildcard for subdomains.
//!
//! CORS is no authorisation: it says what a browser shows to a script. Private assets need a signature.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderName,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// Most headers that a preflight may ask for.
const MAX_REQUESTED: usize = 64;

/// What pages of other origins may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    origins: Origins,
    methods: Vec<Method>,
    headers: Headers,
    allow_credentials: bool,
    // Ready to be sent.
    allow_methods: HeaderValue,
    expose_headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    Listed(Vec<Pattern>),
}

/// `https://app.example.com`, or `https://*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    /// What stands before and after at least one label.
    Subdomains {
        before: String,
        after: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Headers {
    Any,
    Listed(Vec<HeaderName>),
}

/// A policy as it is written.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Origins: `*`, `https://app.example.com`, `https://*.example.com`.
    pub allowed_origins: &'a [String],
    /// Methods.
    pub allowed_methods: &'a [String],
    /// Request headers, or `*`.
    pub allowed_headers: &'a [String],
    /// Response headers that scripts may read, or `*`.
    pub exposed_headers: &'a [String],
    /// How long a browser may remember the answer to a preflight.
    pub max_age: Duration,
    /// Whether cookies may come along.
    pub allow_credentials: bool,
}

/// Why a policy cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTerms {
    /// Not an origin.
    #[error("{0:?} is no origin: write *, https://app.example.com or https://*.example.com")]
    Origin(String),
    /// Not a method.
    #[error("{0:?} is no method")]
    Method(String),
    /// Not the name of a header.
    #[error("{0:?} is no header name")]
    Header(String),
    /// The Fetch standard forbids it, and browsers refuse it: every site could read with the user's cookies.
    #[error("credentials cannot be allowed to every origin: list the origins")]
    AnyWithCredentials,
}

/// What a request is to CORS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Of no origin, or of one that is not allowed: nothing is added but `Vary`.
    Plain,
    /// Of an allowed origin: [`Policy::apply`] adds what lets the page read the response.
    Allowed(&'a HeaderValue),
    /// A question before the request, which is answered with 204, [`Policy::answer_preflight`], and no object.
    Preflight(Preflight<'a>),
}

/// A preflight request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight<'a> {
    /// What it asks for is allowed to this origin.
    Granted {
        /// The page's origin.
        origin: &'a HeaderValue,
        /// The headers asked for.
        headers: Option<&'a HeaderValue>,
    },
    /// It is not. The browser learns that by what is missing.
    Refused,
}

impl Policy {
    /// A policy of these terms.
    pub fn new(terms: &Terms<'_>) -> Result<Self, UnusableTerms> {
        let origins = if terms.allowed_origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            let patterns = terms
                .allowed_origins
                .iter()
                .map(|text| Pattern::parse(text));
            Origins::Listed(patterns.collect::<Result<_, _>>()?)
        };
        if origins == Origins::Any && terms.allow_credentials {
            return Err(UnusableTerms::AnyWithCredentials);
        }
        let methods = terms.allowed_methods.iter().map(|text| {
            Method::from_bytes(text.as_bytes()).map_err(|_| UnusableTerms::Method(text.clone()))
        });
        let methods = methods.collect::<Result<Vec<_>, _>>()?;
        let exposed = names(terms.exposed_headers)?;
        Ok(Self {
            allow_methods: list(&methods, Method::as_str),
            headers: match terms.allowed_headers.iter().any(|name| name == "*") {
                true => Headers::Any,
                false => Headers::Listed(names(terms.allowed_headers)?),
            },
            expose_headers: (!exposed.is_empty()).then(|| list(&exposed, HeaderName::as_str)),
            max_age: HeaderValue::from(terms.max_age.as_secs()),
            allow_credentials: terms.allow_credentials,
            origins,
            methods,
        })
    }

    /// What a request is.
    pub fn decide<'a>(&self, method: &Method, request: &'a HeaderMap) -> Decision<'a> {
        let Some(origin) = request.get(ORIGIN) else {
            return Decision::Plain;
        };
        let allowed = self.origins.allow(origin.as_bytes());
        let asks = request.get(ACCESS_CONTROL_REQUEST_METHOD);
        match asks.filter(|_| method == Method::OPTIONS) {
            None if allowed => Decision::Allowed(origin),
            None => Decision::Plain,
            Some(asked) => {
                let headers = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
                let method = self
                    .methods
                    .iter()
                    .any(|m| m.as_str().as_bytes() == asked.as_bytes());
                let granted = allowed && method && headers.is_none_or(|h| self.headers.allow(h));
                Decision::Preflight(match granted {
                    true => Preflight::Granted { origin, headers },
                    false => Preflight::Refused,
                })
            }
        }
    }

    /// Adds what a decision other than a preflight means to the headers of a response, of errors too. What
    /// the origin has said about it is replaced.
    pub fn apply(&self, decision: Decision<'_>, response: &mut HeaderMap) {
        for name in [
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            response.remove(name);
        }
        // Also without an origin: the answer would be another with one.
        if self.origins != Origins::Any {
            response.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Decision::Allowed(origin) = decision {
            self.allow(origin, response);
            if let Some(exposed) = &self.expose_headers {
                response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
    }

    /// The headers of the 204 that answers a preflight.
    pub fn answer_preflight(&self, preflight: Preflight<'_>) -> HeaderMap {
        let mut response = HeaderMap::new();
        response.insert(
            VARY,
            HeaderValue::from_static(
                "origin, access-control-request-method, access-control-request-headers",
            ),
        );
        if let Preflight::Granted { origin, headers } = preflight {
            self.allow(origin, &mut response);
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, self.allow_methods.clone());
            response.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            // Just what was asked for: `*` means nothing to requests with credentials.
            if let Some(headers) = headers {
                response.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
            }
        }
        response
    }

    fn allow(&self, origin: &HeaderValue, response: &mut HeaderMap) {
        let allowed = match self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            Origins::Listed(_) => origin.clone(),
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.allow_credentials {
            let yes = HeaderValue::from_static("true");
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

impl Origins {
    fn allow(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(patterns) => patterns.iter().any(|pattern| pattern.matches(origin)),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, UnusableTerms> {
        let wrong = || UnusableTerms::Origin(text.to_owned());
        let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
        let (subdomains, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
        };
        let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|p| p.to_string() == port));
        let edges = name.starts_with('.') || name.ends_with('.') || name.contains("..");
        // Browsers send origins in lower case, without path, and international names in ASCII.
        if !plain(scheme, b"+-.") || !plain(name, b".-_[]:") || !port || edges {
            return Err(wrong());
        }
        Ok(match subdomains {
            true => Self::Subdomains {
                before: format!("{scheme}://"),
                after: format!(".{host}"),
            },
            false => Self::Exact(text.to_owned()),
        })
    }

    fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(own) => own.as_bytes() == origin,
            Self::Subdomains { before, after } => origin
                .strip_prefix(before.as_bytes())
                .and_then(|rest| rest.strip_suffix(after.as_bytes()))
                .is_some_and(|labels| {
                    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
                    !labels.is_empty() && labels.iter().all(plain)
                }),
        }
    }
}

impl Headers {
    fn allow(&self, requested: &HeaderValue) -> bool {
        let names = requested
            .as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii);
        let mut count = 0;
        names.filter(|name| !name.is_empty()).all(|name| {
            count += 1;
            let known = HeaderName::from_bytes(name).ok();
            count <= MAX_REQUESTED
                && known.is_some_and(|name| match self {
                    // The Fetch standard: `*` does not stand for this one.
                    Self::Any => name != AUTHORIZATION,
                    Self::Listed(listed) => listed.contains(&name),
                })
        })
    }
}

fn names(texts: &[String]) -> Result<Vec<HeaderName>, UnusableTerms> {
    let parsed = texts.iter().map(|text| {
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| UnusableTerms::Header(text.clone()))
    });
    parsed.collect()
}

/// Names and methods are tokens, so their list is always a header value.
fn list<T>(items: &[T], text: impl Fn(&T) -> &str) -> HeaderValue {
    let texts: Vec<&str> = items.iter().map(text).collect();
    HeaderValue::try_from(texts.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
