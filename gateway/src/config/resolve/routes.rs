//! Routes: their conditions, and what answers them.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Method, StatusCode};
use serving::config::Invalid;

use super::super::file::{ActionFile, MatchFile, PathFile};
use super::super::{ActionConfig, UpstreamConfig};
use crate::route::{HostPattern, InvalidPattern, Matcher, PathPattern};

pub(super) fn matcher(file: &MatchFile) -> Result<Matcher, Invalid> {
    let at = |key: &'static str| move |error: InvalidPattern| Invalid::new(key, error);
    let host = file
        .host
        .as_deref()
        .map(HostPattern::parse)
        .transpose()
        .map_err(at("host"))?;
    let path = match &file.path {
        None => None,
        Some(PathFile::Prefix(text)) => Some(PathPattern::prefix(text).map_err(at("path.prefix"))?),
        Some(PathFile::Exact(text)) => Some(PathPattern::exact(text).map_err(at("path.exact"))?),
        Some(PathFile::Template(text)) => {
            Some(PathPattern::template(text).map_err(at("path.template"))?)
        }
    };
    let method = |(at, text): (usize, &String)| {
        let known = text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let parsed = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
        parsed.ok_or_else(|| {
            Invalid::new(
                format!("methods[{at}]"),
                format!("{text:?} is not a method such as GET"),
            )
        })
    };
    let header = |(name, value): (&String, &String)| {
        let wrong = || Invalid::new(format!("headers.{name}"), "is not a header and its value");
        let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = pair {
            Ok((name, value))
        } else {
            Err(wrong())
        }
    };
    Ok(Matcher {
        host: host.unwrap_or_default(),
        path: path.unwrap_or_default(),
        methods: file
            .methods
            .iter()
            .enumerate()
            .map(method)
            .collect::<Result<_, _>>()?,
        headers: file.headers.iter().map(header).collect::<Result<_, _>>()?,
    })
}

pub(super) fn action(
    file: ActionFile,
    upstreams: &[UpstreamConfig],
    has_assets: bool,
) -> Result<ActionConfig, Invalid> {
    match file {
        ActionFile::Assets if has_assets => Ok(ActionConfig::Assets),
        ActionFile::Assets => Err(Invalid::new("", "assets need an asset_server")),
        ActionFile::Upstream { name, strip_prefix } => {
            let index = upstreams.iter().position(|upstream| upstream.name == name);
            let index = index.ok_or_else(|| {
                Invalid::new(
                    "upstream.name",
                    format!("{name:?} is not among the upstreams"),
                )
            })?;
            Ok(ActionConfig::Upstream {
                index,
                strip_prefix,
            })
        }
        ActionFile::Redirect { status, to } => {
            let status = StatusCode::from_u16(status)
                .ok()
                .filter(|status| [301, 302, 303, 307, 308].contains(&status.as_u16()));
            let status = status.ok_or_else(|| {
                Invalid::new("redirect.status", "must be 301, 302, 303, 307 or 308")
            })?;
            HeaderValue::try_from(&to)
                .map_err(|_| Invalid::new("redirect.to", "is not a header value"))?;
            Ok(ActionConfig::Redirect(status, to))
        }
        ActionFile::Respond {
            status,
            content_type,
            body,
        } => {
            let status = StatusCode::from_u16(status)
                .ok()
                .filter(|status| status.as_u16() >= 200);
            let status = status
                .ok_or_else(|| Invalid::new("respond.status", "must be between 200 and 999"))?;
            let content_type = HeaderValue::try_from(content_type)
                .map_err(|_| Invalid::new("respond.content_type", "is not a header value"))?;
            Ok(ActionConfig::Respond(
                status,
                content_type,
                Bytes::from(body),
            ))
        }
    }
}
