//! Which response headers are kept, and how a later response updates them (RFC 9111 sections 3.1 and
//! 3.2). Pure.

use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WARNING,
};
use http::{HeaderMap, HeaderName};

use super::directives::split_list;

const fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Fields about one connection or one exchange, not about the representation: section 3.1. `Age` is
/// counted by the freshness, the last three are ours to say.
const NEVER_STORED: [HeaderName; 15] = [
    CONNECTION,
    name("keep-alive"),
    PROXY_AUTHENTICATE,
    name("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    name("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    AGE,
    WARNING,
    name("x-request-id"),
    name("x-edge-region"),
    name("server-timing"),
];

/// Fields that describe the stored bytes themselves: a response without these bytes cannot change
/// them (section 3.2).
const NEVER_UPDATED: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    name("content-md5"),
];

/// The fields of a response that are kept. `withheld` are those that its directives keep out.
pub fn storable(response: &HeaderMap, withheld: &[HeaderName]) -> HeaderMap {
    let mut headers = response.clone();
    remove_connection_fields(&mut headers);
    for name in NEVER_STORED.iter().chain(withheld) {
        headers.remove(name);
    }
    headers
}

/// Takes out what is only for the next hop: RFC 9110 section 7.6.1.
pub fn remove_connection_fields(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| split_list(value.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in &listed {
        headers.remove(name);
    }
    for name in &NEVER_STORED[..10] {
        headers.remove(name);
    }
}

/// Section 3.2: each field of the newer response replaces all stored ones of its name; what it leaves
/// out stays.
pub fn update(stored: &mut HeaderMap, newer: &HeaderMap, withheld: &[HeaderName]) {
    let newer = storable(newer, withheld);
    for name in newer.keys() {
        if NEVER_UPDATED.contains(name) {
            continue;
        }
        stored.remove(name);
        for value in newer.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
    for name in withheld {
        stored.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn what_belongs_to_a_connection_stays_behind() {
        let response = headers(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("age", "5"),
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("x-kept", "1"),
        ]);
        let expected = headers(&[
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("x-kept", "1"),
        ]);
        assert_eq!(storable(&response, &[]), expected);
        let withheld = [http::header::SET_COOKIE];
        assert_eq!(storable(&response, &withheld), headers(&[("x-kept", "1")]));
    }

    #[test]
    fn a_newer_response_replaces_what_it_names_but_not_what_describes_the_bytes() {
        let mut stored = headers(&[
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-b", "1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("etag", "\"a\""),
        ]);
        let newer = headers(&[
            ("x-a", "3"),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("etag", "W/\"a\""),
            ("connection", "close"),
        ]);
        update(&mut stored, &newer, &[]);
        let expected = headers(&[
            ("x-a", "3"),
            ("x-b", "1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("etag", "\"a\""),
        ]);
        assert_eq!(stored, expected);
    }
}
