//! The XML of S3's uploads in parts: what a client sends to complete one, and the answers.

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use crate::store::part_size::MOST_PARTS;
use crate::store::{Part, UploadRef};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A list of 10,000 parts is below 2 MiB; no more than this need be read of a body.
pub const LARGEST_COMPLETION: usize = 4 << 20;

/// The body is no `CompleteMultipartUpload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is no list of parts: {0}")]
pub struct XmlError(&'static str);

/// The parts that a client wants put together. Their sizes are not said, so they are 0.
pub fn completion(body: &[u8]) -> Result<Vec<Part>, XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError("not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let (mut parts, mut path, mut value) =
        (Vec::<Part>::new(), Vec::<String>::new(), String::new());
    let (mut number, mut etag) = (None, None);
    loop {
        match reader
            .read_event()
            .map_err(|_| XmlError("not well-formed"))?
        {
            Event::Start(start) => {
                if path.len() > 3 {
                    return Err(XmlError("too deep"));
                }
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                value.clear();
            }
            Event::Text(text) => {
                value.push_str(&text.decode().map_err(|_| XmlError("not UTF-8"))?);
            }
            Event::GeneralRef(reference) => match &*reference {
                b"quot" | b"#34" | b"#x22" => value.push('"'),
                _ => return Err(XmlError("an entity that no tag has")),
            },
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                match names.as_slice() {
                    ["CompleteMultipartUpload", "Part", "PartNumber"] => {
                        number = value.trim().parse::<u32>().ok();
                    }
                    ["CompleteMultipartUpload", "Part", "ETag"] => {
                        etag = Some(value.trim().to_owned());
                    }
                    ["CompleteMultipartUpload", "Part"] => {
                        let number = number.take().filter(|n| *n > 0);
                        let number = number.ok_or(XmlError("a part without number"))?;
                        if parts.last().is_some_and(|last| last.number >= number) {
                            return Err(XmlError("parts are not in order"));
                        }
                        if u64::from(number) > MOST_PARTS {
                            return Err(XmlError("a part number above 10,000"));
                        }
                        let etag = etag.take();
                        parts.push(Part {
                            number,
                            size: 0,
                            etag: Some(etag.ok_or(XmlError("a part without ETag"))?),
                        });
                    }
                    _ => {}
                }
                path.pop();
            }
            Event::DocType(_) => return Err(XmlError("a document type")),
            Event::Eof if !path.is_empty() => return Err(XmlError("not well-formed")),
            Event::Eof => break,
            _ => {}
        }
    }
    match parts.is_empty() {
        true => Err(XmlError("no parts")),
        false => Ok(parts),
    }
}

/// The answer to `POST ?uploads`.
pub fn initiated(bucket: &str, upload: &UploadRef) -> String {
    document("InitiateMultipartUploadResult", |xml| {
        element(xml, "Bucket", bucket);
        element(xml, "Key", &upload.key);
        element(xml, "UploadId", &upload.id);
    })
}

/// The answer to a completion. `location` is the object's URL at this edge.
pub fn completed(location: &str, bucket: &str, key: &str, etag: Option<&str>) -> String {
    document("CompleteMultipartUploadResult", |xml| {
        element(xml, "Location", location);
        element(xml, "Bucket", bucket);
        element(xml, "Key", key);
        element(xml, "ETag", etag.unwrap_or_default());
    })
}

/// The answer to `GET ?uploadId`: all parts on one page.
pub fn parts(bucket: &str, upload: &UploadRef, parts: &[Part]) -> String {
    document("ListPartsResult", |xml| {
        element(xml, "Bucket", bucket);
        element(xml, "Key", &upload.key);
        element(xml, "UploadId", &upload.id);
        element(xml, "MaxParts", &MOST_PARTS.to_string());
        element(xml, "IsTruncated", "false");
        for part in parts {
            xml.push_str("<Part>");
            element(xml, "PartNumber", &part.number.to_string());
            element(xml, "ETag", part.etag.as_deref().unwrap_or_default());
            element(xml, "Size", &part.size.to_string());
            xml.push_str("</Part>");
        }
    })
}

fn document(name: &str, content: impl FnOnce(&mut String)) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = write!(xml, "<{name} xmlns=\"{NAMESPACE}\">");
    content(&mut xml);
    let _ = write!(xml, "</{name}>");
    xml
}

fn element(xml: &mut String, name: &str, value: &str) {
    let _ = write!(xml, "<{name}>{}</{name}>", escape(value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_completion_is_read_and_a_strange_one_refused() {
        let good = "<?xml version=\"1.0\"?><CompleteMultipartUpload xmlns=\"x\">\
            <Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part>\
            <Part><PartNumber> 3 </PartNumber><ETag>\"b\"</ETag><ChecksumCRC32>x</ChecksumCRC32></Part>\
            </CompleteMultipartUpload>";
        let parts = completion(good.as_bytes()).expect("parts");
        let seen: Vec<_> = parts
            .iter()
            .map(|p| (p.number, p.etag.as_deref()))
            .collect();
        assert_eq!(seen, [(1, Some("\"a\"")), (3, Some("\"b\""))]);
        for bad in [
            "",
            "<CompleteMultipartUpload/>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><CompleteMultipartUpload/>",
            &good.replace(" 3 ", "1"),
            &good.replace(" 3 ", "10001"),
            &good.replace("&quot;a", "&lol;"),
        ] {
            assert!(completion(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_escape_what_a_key_may_hold() {
        let upload = UploadRef {
            key: "a&b<c>".into(),
            id: "i".into(),
        };
        assert!(initiated("b", &upload).contains("<Key>a&amp;b&lt;c&gt;</Key>"));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_fall_over(body in "(<|>|/|Part|&quot;|CompleteMultipartUpload|ETag|PartNumber|1|\\PC){0,40}") {
            let _ = completion(body.as_bytes());
        }
    }
}
