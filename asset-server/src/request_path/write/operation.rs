//! What a client wants to write: from method, path and query. Pure.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::WriteError;
use crate::cache::key::KeyError;
use crate::metrics::WriteKind;

/// Longest name of an upload. Stores have shorter ones.
const LONGEST_UPLOAD: usize = 1024;

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The body is the object.
    Put,
    /// The body is a form with the object in it.
    Form,
    /// The object goes.
    Delete,
    /// An upload in parts begins.
    Begin,
    /// The body is one part.
    Part {
        /// Of this upload.
        upload: String,
        /// From 1.
        number: u32,
    },
    /// The parts of an upload are asked for.
    List(String),
    /// The body is the list of parts.
    Complete(String),
    /// An upload is given up.
    Abort(String),
}

/// Whether a request to a mount that takes writes is about one. A preflight is not.
pub(crate) fn is_write(request: &Parts) -> bool {
    match request.method {
        Method::HEAD | Method::OPTIONS => false,
        Method::GET => request.uri.query().is_some_and(|query| {
            let mut pairs = query.split('&');
            pairs.any(|pair| pair.split('=').next() == Some("uploadId"))
        }),
        _ => true,
    }
}

impl Operation {
    /// What a request is. `path` is normal. Parameters that are not known are refused: with them an S3
    /// client means something else than to write the object (`?tagging`, `?acl`).
    pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> Result<Self, WriteError> {
        let (mut uploads, mut upload, mut number) = (false, None, None);
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "uploads" if value.is_empty() && !uploads => uploads = true,
                "uploadId" if upload.is_none() => upload = Some(upload_id(value)?),
                "partNumber" if number.is_none() => {
                    let parsed = value.parse().ok().filter(|n| (1..=10_000).contains(n));
                    let wrong = WriteError::Request("partNumber must be between 1 and 10000");
                    number = Some(parsed.ok_or(wrong)?);
                }
                // Names the operation again.
                "x-id" => {}
                "max-parts" if *method == Method::GET => {}
                _ => {
                    return Err(WriteError::Request(
                        "a parameter in the query is not for writing",
                    ));
                }
            }
        }
        let operation = match (method, uploads, upload, number) {
            (&Method::PUT, false, None, None) => Self::Put,
            (&Method::PUT, false, Some(upload), Some(number)) => Self::Part { upload, number },
            (&Method::DELETE, false, None, None) => Self::Delete,
            (&Method::DELETE, false, Some(upload), None) => Self::Abort(upload),
            (&Method::POST, true, None, None) => Self::Begin,
            (&Method::POST, false, Some(upload), None) => Self::Complete(upload),
            (&Method::POST, false, None, None) => Self::Form,
            (&Method::GET, false, Some(upload), None) => Self::List(upload),
            (&Method::PUT | &Method::DELETE | &Method::POST | &Method::GET, ..) => {
                return Err(WriteError::Request(
                    "the parameters do not go with the method",
                ));
            }
            _ => return Err(WriteError::Method),
        };
        match (&operation, path.ends_with('/')) {
            (Self::Form, true) => Ok(operation),
            (Self::Form, false) => Err(WriteError::Request(
                "a form is sent to a prefix that ends with a slash",
            )),
            (_, true) => Err(WriteError::Key(KeyError::Directory)),
            (_, false) => Ok(operation),
        }
    }

    pub(super) fn kind(&self) -> WriteKind {
        match self {
            Self::Put => WriteKind::Put,
            Self::Form => WriteKind::Form,
            Self::Delete => WriteKind::Delete,
            Self::Begin => WriteKind::Begin,
            Self::Part { .. } => WriteKind::Part,
            Self::List(_) => WriteKind::List,
            Self::Complete(_) => WriteKind::Complete,
            Self::Abort(_) => WriteKind::Abort,
        }
    }
}

fn upload_id(value: &str) -> Result<String, WriteError> {
    let id = percent_decode_str(value).decode_utf8().unwrap_or_default();
    let plain = !id.is_empty() && id.len() <= LONGEST_UPLOAD && !id.contains(char::is_control);
    match plain {
        true => Ok(id.into_owned()),
        false => Err(WriteError::Request("uploadId is no name of an upload")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(method: &Method, query: &str) -> Result<Operation, &'static str> {
        Operation::of(method, "/a/b", Some(query)).map_err(|error| error.verdict().1)
    }

    #[test]
    fn method_and_query_say_what_is_wanted() {
        let part = Operation::Part {
            upload: "a+/=".into(),
            number: 7,
        };
        assert_eq!(
            of(
                &Method::PUT,
                "partNumber=7&uploadId=a%2B%2F%3D&x-id=UploadPart"
            ),
            Ok(part)
        );
        for (method, query, operation) in [
            (Method::PUT, "", Operation::Put),
            (Method::PUT, "x-id=PutObject", Operation::Put),
            (Method::DELETE, "", Operation::Delete),
            (Method::DELETE, "uploadId=u", Operation::Abort("u".into())),
            (Method::POST, "uploads", Operation::Begin),
            (Method::POST, "uploads=", Operation::Begin),
            (Method::POST, "uploadId=u", Operation::Complete("u".into())),
            (
                Method::GET,
                "uploadId=u&max-parts=5",
                Operation::List("u".into()),
            ),
        ] {
            assert_eq!(of(&method, query), Ok(operation), "{query}");
        }
        for (method, query, reason) in [
            (Method::PATCH, "", "method_not_allowed"),
            (Method::POST, "", "bad_write"),
            (Method::PUT, "tagging", "bad_write"),
            (Method::PUT, "acl=", "bad_write"),
            (Method::PUT, "v=1", "bad_write"),
            (Method::PUT, "uploadId=u", "bad_write"),
            (Method::PUT, "partNumber=1", "bad_write"),
            (Method::PUT, "partNumber=0&uploadId=u", "bad_write"),
            (Method::PUT, "partNumber=10001&uploadId=u", "bad_write"),
            (Method::PUT, "partNumber=1&uploadId=", "bad_write"),
            (
                Method::PUT,
                "partNumber=1&uploadId=a&uploadId=b",
                "bad_write",
            ),
            (Method::PUT, "partNumber=1&uploadId=%00", "bad_write"),
            (Method::DELETE, "uploads", "bad_write"),
        ] {
            assert_eq!(of(&method, query), Err(reason), "{query}");
        }
        let form = Operation::of(&Method::POST, "/a/", None);
        assert!(matches!(form, Ok(Operation::Form)), "{form:?}");
        let directory = Operation::of(&Method::PUT, "/a/", None);
        assert!(
            matches!(directory, Err(WriteError::Key(_))),
            "{directory:?}"
        );
    }

    proptest! {
        #[test]
        fn no_query_makes_it_fall_over(query in "(uploads|uploadId|partNumber|&|=|%|[0-9]|\\PC){0,12}") {
            for method in [Method::PUT, Method::POST, Method::DELETE, Method::GET, Method::TRACE] {
                if let Ok(Operation::Part { upload, number }) = Operation::of(&method, "/a", Some(&query)) {
                    prop_assert!(!upload.is_empty() && (1..=10_000).contains(&number));
                }
            }
        }
    }
}
