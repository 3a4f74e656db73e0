//! The store as a real S3 client sees it.

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use s3s::crypto::Checksum as _;
use tempfile::TempDir;

use super::*;

struct World {
    store: S3Store,
    _directory: TempDir,
}

impl World {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let store = S3Store::start(directory.path(), 0, &["nyc3", "ams3"])
            .await
            .unwrap();
        Self {
            store,
            _directory: directory,
        }
    }

    async fn with_object(key: &str, body: &[u8]) -> Self {
        let world = Self::start().await;
        world.put(key, body).await;
        world
    }

    async fn put(&self, key: &str, body: &[u8]) {
        let object = NewObject::new(key, "text/plain", [Bytes::copy_from_slice(body)]);
        self.store
            .put(object.cache_control("max-age=60"))
            .await
            .unwrap();
    }

    fn client(&self, requester: &str) -> Client {
        let key = self.store.access_key_of(requester).unwrap();
        client(&self.store.endpoint(), key.id(), key.secret())
    }

    fn get(&self, requester: &str, key: &str) -> GetObjectFluentBuilder {
        self.client(requester)
            .get_object()
            .bucket(self.store.bucket())
            .key(key)
    }

    fn seen(&self, requester: &str, key: &str) -> ObjectRequests {
        self.store
            .requests()
            .get(requester)
            .and_then(|objects| objects.get(key))
            .map(|object| ObjectRequests {
                get_at_once: 0, // when a body has ended is a matter of timing
                ..*object
            })
            .unwrap_or_default()
    }
}

fn client(endpoint: &str, id: &str, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::from_keys(id, secret, None))
        .build();
    Client::from_conf(config)
}

/// Status and S3 error code of a refused request.
fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E>) -> (u16, Option<&str>) {
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    (status, error.code())
}

#[tokio::test]
async fn an_object_comes_back_whole_with_what_was_stored_beside_it() {
    let world = World::with_object("datasets/a b.csv", b"one,two").await;
    let got = world.get("nyc3", "datasets/a b.csv").send().await.unwrap();
    assert_eq!(got.content_type(), Some("text/plain"));
    assert_eq!(got.cache_control(), Some("max-age=60"));
    assert_eq!(got.content_length(), Some(7));
    // The MD5 of the body, as every store answers for an object put in one part.
    assert_eq!(got.e_tag(), Some("\"c493cbf2fe29562472bc0b897abc9b80\""));
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "one,two");
}

#[tokio::test]
async fn ranges_are_answered_from_every_end() {
    let world = World::with_object("digits", b"0123456789").await;
    let cases = [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ];
    for (range, body, content_range) in cases {
        let got = world
            .get("nyc3", "digits")
            .range(range)
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_range(), Some(content_range), "{range}");
        assert_eq!(
            got.body.collect().await.unwrap().into_bytes(),
            body,
            "{range}"
        );
    }
    let past_the_end = world
        .get("nyc3", "digits")
        .range("bytes=10-")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refusal(&past_the_end).0, 416);
    assert_eq!(world.seen("nyc3", "digits").get_range, 5);
}

#[tokio::test]
async fn a_validator_that_holds_gets_304_and_one_that_does_not_gets_412_or_the_object() {
    let world = World::with_object("logo.svg", b"<svg/>").await;
    let etag = world
        .get("ams3", "logo.svg")
        .send()
        .await
        .unwrap()
        .e_tag()
        .unwrap()
        .to_owned();

    let same = world
        .get("ams3", "logo.svg")
        .if_none_match(&etag)
        .send()
        .await
        .unwrap_err();
    assert_eq!(refusal(&same).0, 304);
    world
        .get("ams3", "logo.svg")
        .if_match(&etag)
        .range("bytes=0-1")
        .send()
        .await
        .unwrap();

    world.put("logo.svg", b"<svg></svg>").await;
    world
        .get("ams3", "logo.svg")
        .if_none_match(&etag)
        .send()
        .await
        .unwrap();
    let changed = world
        .get("ams3", "logo.svg")
        .if_match(&etag)
        .range("bytes=2-")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refusal(&changed), (412, Some("PreconditionFailed")));

    let seen = ObjectRequests {
        get: 5,
        get_range: 2,
        not_modified: 1,
        get_failed: 1,
        ..ObjectRequests::default()
    };
    assert_eq!(world.seen("ams3", "logo.svg"), seen);
}

#[tokio::test]
async fn missing_keys_missing_buckets_and_directories_are_told_apart() {
    let world = World::with_object("a/b", b"x").await;
    for key in ["nothing", "a", "a/b/c", "a/../a/b"] {
        let missing = world.get("nyc3", key).send().await.unwrap_err();
        assert_eq!(refusal(&missing), (404, Some("NoSuchKey")), "{key}");
    }
    let elsewhere = world
        .client("nyc3")
        .get_object()
        .bucket("elsewhere")
        .key("a/b")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refusal(&elsewhere), (404, Some("NoSuchBucket")));
    let head = world
        .client("nyc3")
        .head_object()
        .bucket(world.store.bucket())
        .key("a")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refusal(&head).0, 404);
}

#[tokio::test]
async fn only_known_keys_with_the_right_secret_are_let_in() {
    let world = World::with_object("a", b"x").await;
    let intruders = [
        (world.store.access_key(), "guessed", "SignatureDoesNotMatch"),
        ("AKIA", "x", "InvalidAccessKeyId"),
    ];
    for (id, secret, code) in intruders {
        let intruder = client(&world.store.endpoint(), id, secret);
        let refused = intruder
            .get_object()
            .bucket(world.store.bucket())
            .key("a")
            .send()
            .await
            .unwrap_err();
        assert_eq!(refusal(&refused), (403, Some(code)));
    }
    assert!(world.store.requests().is_empty());
}

#[tokio::test]
async fn each_requester_is_counted_apart_and_what_it_uploads_is_served() {
    let world = World::start().await;
    let upload = world
        .client("ams3")
        .put_object()
        .bucket(world.store.bucket())
        .key("model")
        .body(vec![7; 3].into());
    upload.send().await.unwrap();
    world.get("nyc3", "model").send().await.unwrap();
    world
        .client("nyc3")
        .head_object()
        .bucket(world.store.bucket())
        .key("model")
        .send()
        .await
        .unwrap();

    assert_eq!(
        world.seen("ams3", "model"),
        ObjectRequests {
            put: 1,
            ..ObjectRequests::default()
        }
    );
    assert_eq!(
        world.seen("nyc3", "model"),
        ObjectRequests {
            get: 1,
            head: 1,
            ..ObjectRequests::default()
        }
    );
}

#[tokio::test]
async fn a_store_taken_away_fails_and_comes_back_with_its_objects() {
    let world = World::with_object("a", b"x").await;
    let client = world.client("nyc3");
    let get = || {
        client
            .get_object()
            .bucket(world.store.bucket())
            .key("a")
            .send()
    };
    get().await.unwrap();
    world.store.stop().await.unwrap();
    get().await.unwrap_err();
    world.store.restart().await.unwrap();
    assert_eq!(
        get()
            .await
            .unwrap()
            .body
            .collect()
            .await
            .unwrap()
            .into_bytes(),
        "x"
    );
}

#[tokio::test]
async fn an_etag_always_belongs_to_the_bytes_beside_it() {
    let world = World::with_object("hot", &[0; 64]).await;
    let etag_of = |body: Bytes| format!("\"{}\"", hex_md5(&body));
    let writer = async {
        for round in 1..=20 {
            world.put("hot", &[round; 64]).await;
        }
    };
    let reader = async {
        for _ in 0..20 {
            let got = world.get("nyc3", "hot").send().await.unwrap();
            let etag = got.e_tag().unwrap().to_owned();
            assert_eq!(
                etag,
                etag_of(got.body.collect().await.unwrap().into_bytes())
            );
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test]
async fn a_large_object_streams_in_many_chunks() {
    let chunk = Bytes::from(vec![42; 1 << 20]);
    let world = World::start().await;
    let object = NewObject::new(
        "large",
        "application/octet-stream",
        std::iter::repeat_n(chunk, 9),
    );
    world.store.put(object).await.unwrap();
    let mut body: ByteStream = world.get("nyc3", "large").send().await.unwrap().body;
    let mut length = 0;
    while let Some(chunk) = body.try_next().await.unwrap() {
        assert!(chunk.iter().all(|&byte| byte == 42));
        length += chunk.len();
    }
    assert_eq!(length, 9 << 20);
}

fn hex_md5(body: &[u8]) -> String {
    let mut md5 = s3s::crypto::Md5::new();
    md5.update(body);
    md5.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
