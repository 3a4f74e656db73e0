//! Event notifications of a bucket: which objects have changed, and the paths they are cached under.
//!
//! The format is that of S3, which Ceph and MinIO send as well: `Records[]` with `eventName`,
//! `s3.bucket.name` and `s3.object.key`, the key form-encoded (a space is `+`). Whatever the event, the
//! object is purged: one fetch too many is cheap, a stale object is not.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::cache::key::{MAX_LENGTH, RESERVED_SEGMENT};
use crate::config::{Config, Origin};
use crate::respond::coding::precompressed;

/// One object that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Its bucket.
    pub bucket: String,
    /// Its key, decoded.
    pub key: String,
}

/// What was sent is no event notification.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not JSON, or not of that shape.
    #[error("this is not an S3 event notification: {0}")]
    Shape(#[from] serde_json::Error),
    /// It has neither records nor says that it is a test.
    #[error("this is not an S3 event notification: it has no Records")]
    NoRecords,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Option<Vec<EventRecord>>,
    /// `s3:TestEvent`, which S3 sends when a notification is set up.
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Deserialize)]
struct EventRecord {
    #[serde(rename = "eventName", default)]
    name: String,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// The objects that a notification is about. A read is no change, and a key that is no UTF-8 names
/// nothing that is ever cached.
pub fn parse(bytes: &[u8]) -> Result<Vec<ObjectEvent>, EventError> {
    let notification: Notification = serde_json::from_slice(bytes)?;
    let records = match (notification.records, notification.event) {
        (Some(records), _) => records,
        (None, Some(_)) => Vec::new(),
        (None, None) => return Err(EventError::NoRecords),
    };
    let changed = records.into_iter().filter(|record| {
        let name = record.name.strip_prefix("s3:").unwrap_or(&record.name);
        !name.starts_with("ObjectAccessed")
    });
    let events = changed.filter_map(|record| {
        Some(ObjectEvent {
            key: decode(&record.s3.object.key)?,
            bucket: record.s3.bucket.name,
        })
    });
    Ok(events.collect())
}

fn decode(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let decoded: Cow<'_, str> = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Where objects of buckets are mounted.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Vec<MountedBucket>);

#[derive(Clone, Debug)]
struct MountedBucket {
    bucket: String,
    prefix: String,
    path: String,
    precompressed: bool,
}

impl Buckets {
    /// The mounts that have a bucket behind them.
    pub fn of(config: &Config) -> Self {
        let mounted = config
            .mounts
            .iter()
            .filter_map(|mount| match &mount.origin {
                Origin::S3(s3) => Some(MountedBucket {
                    bucket: s3.bucket.clone(),
                    prefix: s3.prefix.clone(),
                    path: mount.path.clone(),
                    precompressed: mount.delivery.precompressed,
                }),
                _ => None,
            });
        Self(mounted.collect())
    }

    /// Every path that an object is cached under. None for what is not mounted, and for what we keep in
    /// a bucket ourselves: else each purge would cause one of its own record.
    pub fn paths(&self, event: &ObjectEvent) -> Vec<String> {
        if event
            .key
            .split('/')
            .any(|segment| segment == RESERVED_SEGMENT)
        {
            return Vec::new();
        }
        let behind = self
            .0
            .iter()
            .filter(|mounted| mounted.bucket == event.bucket);
        behind
            .flat_map(|mounted| {
                let key = event.key.strip_prefix(mounted.prefix.as_str());
                // A sibling is kept with the object that it is a form of.
                let plain = key
                    .filter(|_| mounted.precompressed)
                    .and_then(precompressed::plain_of);
                let keys = key.into_iter().chain(plain);
                keys.map(|key| format!("{}{key}", mounted.path))
            })
            .filter(|path| path.len() <= MAX_LENGTH)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record(name: &str, key: &str) -> serde_json::Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
            "s3": {"bucket": {"name": "b", "arn": "arn:aws:s3:::b"}, "object": {"key": key, "size": 7}},
        })
    }

    fn keys(notification: &serde_json::Value) -> Vec<String> {
        let events = parse(notification.to_string().as_bytes()).expect("a notification");
        events.into_iter().map(|event| event.key).collect()
    }

    fn buckets() -> Buckets {
        let mounted = |prefix: &str, path: &str| MountedBucket {
            bucket: "b".into(),
            prefix: prefix.into(),
            path: path.into(),
            precompressed: path == "/web/",
        };
        Buckets(vec![mounted("", "/all/"), mounted("web/", "/web/")])
    }

    #[test]
    fn keys_are_form_encoded_and_reads_change_nothing() {
        let notification = json!({"Records": [
            record("ObjectCreated:Put", "a+b%2Bc/d%20e.txt"),
            record("s3:ObjectRemoved:Delete", "web%2Flogo.svg"),
            record("s3:ObjectAccessed:Get", "read"),
            record("ObjectCreated:Put", "%ff"),
        ]});
        assert_eq!(keys(&notification), ["a b+c/d e.txt", "web/logo.svg"]);
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        assert_eq!(keys(&test), [""; 0]);
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        for text in ["", "[]", "{}", "{\"Records\": 7}", "{\"Records\": [{}]}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_object_is_found_under_every_mount_of_its_bucket_and_never_our_own() {
        let paths = |bucket: &str, key: &str| {
            buckets().paths(&ObjectEvent {
                bucket: bucket.into(),
                key: key.into(),
            })
        };
        assert_eq!(paths("b", "web/a.css"), ["/all/web/a.css", "/web/a.css"]);
        let sibling = ["/all/web/a.css.br", "/web/a.css.br", "/web/a.css"];
        assert_eq!(paths("b", "web/a.css.br"), sibling);
        assert_eq!(paths("b", "a.css"), ["/all/a.css"]);
        assert_eq!(paths("c", "a.css"), [""; 0]);
        assert_eq!(paths("b", ".edge/purges/1.json"), [""; 0]);
        assert_eq!(paths("b", &"x".repeat(2000)), [""; 0]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_key_comes_back_as_it_was(key in "\\PC{0,60}", name in "\\PC{0,20}") {
            let encoded = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC);
            let notification = json!({"Records": [record(&format!("x{name}"), &encoded.to_string())]});
            prop_assert_eq!(keys(&notification), [key.clone()]);
            let event = ObjectEvent { bucket: "b".into(), key };
            for path in buckets().paths(&event) {
                prop_assert!(path.starts_with("/all/") || path.starts_with("/web/"));
            }
        }
    }
}
