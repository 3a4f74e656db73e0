//! Uploads: whole or not at all, checked, in bounded memory, against a real S3 protocol store.

use std::sync::Arc;

use asset_server::config::Origin;
use asset_server::store::digest::Expected;
use asset_server::store::passthrough::{self, xml};
use asset_server::store::{
    Attributes, Condition, ObjectStore, S3Store, StoreError, Upload, UploadError, connect,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, Method};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::support::{Store, config, eventually, noise};

fn store(of: &Store) -> Arc<dyn ObjectStore> {
    connect(&of.config(), &config(of.config()).origin).expect("a store")
}

fn pieces(body: &[u8]) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin + use<> {
    let pieces: Vec<_> = body
        .chunks(100_000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces)
}

async fn read(store: &dyn ObjectStore, key: &str) -> Bytes {
    let (_, body) = store
        .get(key, None, None)
        .await
        .expect("asked")
        .expect("there");
    let pieces: Vec<Bytes> = body.try_collect().await.expect("whole");
    pieces.concat().into()
}

fn upload(key: &str, length: Option<u64>) -> Upload {
    Upload {
        key: key.into(),
        length,
        attributes: Attributes {
            content_type: Some("model/x".into()),
            user: [("owner".to_owned(), "ml".to_owned())].into(),
            ..Attributes::default()
        },
        ..Upload::default()
    }
}

fn sha256_of(body: &[u8]) -> Expected {
    let hash: String = Sha256::digest(body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-content-sha256", hash.parse().expect("a value"));
    Expected::of(&headers).expect("a checksum")
}

/// Requests of the protocol for uploads in parts.
fn begun(store: &Store, key: &str) -> usize {
    store
        .origin
        .seen
        .count(&Method::POST, &format!("/assets/{key}"))
}

fn aborted(store: &Store, key: &str) -> usize {
    store
        .origin
        .seen
        .count(&Method::DELETE, &format!("/assets/{key}"))
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole_with_their_attributes() {
    let s3 = Store::start().await;
    let store = store(&s3);
    for (size, parts) in [
        (0, 0),
        (1, 0),
        (8 << 20, 0),
        ((8 << 20) + 1, 2),
        (20 << 20, 2),
    ] {
        for length in [Some(size as u64), None] {
            let key = format!("of-{size}-{}", length.is_some());
            let body = noise(size as u64, size);
            let mut upload = upload(&key, length);
            upload.expected = sha256_of(&body);
            let uploaded = upload.send(store.clone(), pieces(&body)).await.expect(&key);
            assert_eq!(uploaded.size, size as u64);
            assert!(read(&*store, &key).await == body, "{key}");
            let head = store.head(&key).await.expect("asked").expect("there");
            assert_eq!(
                head.attributes.content_type.as_deref(),
                Some("model/x"),
                "{key}"
            );
            assert_eq!(head.attributes.user["owner"], "ml", "{key}");
            // POST ?uploads and POST ?uploadId.
            assert_eq!(begun(&s3, &key), parts, "{key}");
        }
    }
}

#[tokio::test]
async fn what_is_cut_off_too_long_or_damaged_is_never_visible() {
    let s3 = Store::start().await;
    let store = store(&s3);
    for size in [1000, 10 << 20] {
        let body = noise(1, size);
        let broken = || {
            let end = stream::once(async { Err(std::io::Error::other("gone")) });
            pieces(&body).chain(Box::pin(end))
        };
        let length = size as u64;
        let wrong = sha256_of(b"something else");
        let cases = [
            (
                "short",
                upload("short", Some(length + 1))
                    .send(store.clone(), pieces(&body))
                    .await,
            ),
            (
                "long",
                upload("long", Some(length - 1))
                    .send(store.clone(), pieces(&body))
                    .await,
            ),
            (
                "broken",
                upload("broken", None).send(store.clone(), broken()).await,
            ),
            (
                "damaged",
                Upload {
                    expected: wrong,
                    ..upload("damaged", None)
                }
                .send(store.clone(), pieces(&body))
                .await,
            ),
        ];
        for (key, result) in cases {
            let error = result.expect_err(key);
            let right = match key {
                "short" | "long" => matches!(error, UploadError::Length { .. }),
                "broken" => matches!(error, UploadError::Body(_)),
                _ => matches!(error, UploadError::Digest(_)),
            };
            assert!(right, "{key}: {error:?}");
            assert!(store.head(key).await.expect("asked").is_none(), "{key}");
            assert_eq!(aborted(&s3, key), begun(&s3, key), "{key} of {size}");
        }
    }
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_any_more_is_aborted() {
    let s3 = Store::start().await;
    let store = store(&s3);
    let body = noise(2, 20 << 20);
    let endless = pieces(&body).chain(stream::pending());
    let sending = tokio::spawn(upload("left", None).send(store, endless));
    eventually(|| s3.origin.seen.count(&Method::PUT, "/assets/left") > 0).await;
    sending.abort();
    eventually(|| aborted(&s3, "left") == 1).await;
}

#[tokio::test]
async fn conditions_are_judged_before_and_after_the_body() {
    let s3 = Store::start().await;
    let store = store(&s3);
    let send = |size: usize, condition: Condition| {
        let upload = Upload {
            condition,
            ..upload("k", None)
        };
        let body = noise(3, size);
        let store = store.clone();
        async move { upload.send(store, pieces(&body)).await }
    };
    let refused = |result: Result<_, UploadError>| {
        let is = matches!(result, Err(UploadError::Store(StoreError::Precondition)));
        assert!(is, "{result:?}");
    };
    let first = send(10, Condition::Absent)
        .await
        .expect("written")
        .etag
        .expect("a tag");
    refused(send(9 << 20, Condition::Absent).await);
    refused(send(11, Condition::Match("\"other\"".into())).await);
    assert_eq!(begun(&s3, "k"), 0);
    let second = send(9 << 20, Condition::Match(first.clone()))
        .await
        .expect("written");
    assert!(second.etag.expect("a tag").contains("-2"));
    refused(send(10, Condition::Match(first)).await);
    // Written by another while the body was on its way.
    let other = store.clone();
    let body = noise(4, 9 << 20);
    let late = pieces(&body).chain(Box::pin(stream::once(async move {
        let none = Attributes::default();
        let put = other.put(
            "late",
            &none,
            Bytes::from_static(b"first"),
            &Condition::Always,
        );
        put.await.expect("written");
        Ok(Bytes::new())
    })));
    let upload = Upload {
        condition: Condition::Absent,
        ..upload("late", None)
    };
    refused(upload.send(store.clone(), late).await);
    assert_eq!(read(&*store, "late").await, "first");
}

#[tokio::test]
async fn a_clients_own_upload_in_parts_goes_through() {
    let s3 = Store::start().await;
    let Origin::S3(place) = s3.config() else {
        unreachable!()
    };
    let store = S3Store::connect(&place, &config(s3.config()).origin).expect("a store");
    let body = noise(5, 11 << 20);
    let parts = [&body[..6 << 20], &body[6 << 20..]];
    let attributes = upload("x", None).attributes;
    let begun = store
        .begin_upload("a b/ü", &attributes)
        .await
        .expect("begun");
    assert!(xml::initiated("assets", &begun).contains(&begun.id));
    let mut list = String::from("<CompleteMultipartUpload>");
    for (i, part) in parts.iter().enumerate() {
        let number = i as u32 + 1;
        let length = part.len() as u64;
        let send = |body: &[u8], expected| {
            let body = pieces(body);
            let (store, begun) = (&store, &begun);
            async move { passthrough::upload_part(store, begun, number, length, &expected, body).await }
        };
        let short = send(&part[1..], Expected::default()).await;
        assert!(
            matches!(short, Err(UploadError::Length { .. })),
            "{short:?}"
        );
        let damaged = send(part, sha256_of(b"else")).await;
        assert!(
            matches!(damaged, Err(UploadError::Digest(_))),
            "{damaged:?}"
        );
        let sent = send(part, sha256_of(part)).await.expect("sent");
        let md5: String = Md5::digest(part)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(sent.etag.as_deref(), Some(format!("\"{md5}\"").as_str()));
        list += &format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{md5}&quot;</ETag></Part>"
        );
    }
    list += "</CompleteMultipartUpload>";
    let listed = store.list_parts(&begun).await.expect("listed");
    let sizes: Vec<_> = listed.iter().map(|part| part.size).collect();
    assert_eq!(sizes, parts.map(|part| part.len() as u64));
    let wanted = xml::completion(list.as_bytes()).expect("parts");
    let complete = store
        .complete_upload(&begun, &wanted, &Condition::Absent)
        .await;
    assert!(complete.expect("complete").expect("a tag").contains("-2"));
    assert!(read(&store, "a b/ü").await == body);
    let other = store.begin_upload("x", &attributes).await.expect("begun");
    store.abort_upload(&other).await.expect("aborted");
}

#[tokio::test]
async fn listing_copying_and_ranges_work_as_on_any_store() {
    let s3 = Store::start().await;
    let store = store(&s3);
    for n in 0..1003 {
        s3.put(&format!("many/{n:04}"), b"x");
    }
    let first = store.list("many/", None).await.expect("listed");
    let second = store
        .list("many/", first.next.as_deref())
        .await
        .expect("listed");
    assert_eq!(
        (first.objects.len(), second.objects.len(), second.next),
        (1000, 3, None)
    );
    assert_eq!(second.objects[2].key, "many/1002");
    s3.put("a+b %20", b"0123456789");
    store
        .copy("a+b %20", "c", &Condition::Always)
        .await
        .expect("copied");
    let (head, body) = store
        .get("c", Some(2..5), None)
        .await
        .expect("asked")
        .expect("there");
    let body: Vec<Bytes> = body.try_collect().await.expect("whole");
    assert_eq!((head.size, body.concat().as_slice()), (10, &b"234"[..]));
    let stale = store.get("c", None, Some("\"other\"")).await;
    assert!(matches!(stale, Err(StoreError::Changed)));
    assert!(
        store
            .get("none", None, None)
            .await
            .expect("asked")
            .is_none()
    );
    let elsewhere = connect(
        &s3.config_of("nowhere", "secret"),
        &config(s3.config()).origin,
    );
    let list = elsewhere.expect("a store").list("", None).await;
    assert!(matches!(list, Err(StoreError::NoBucket)), "{list:?}");
    let refused = connect(
        &s3.config_of("assets", "wrong"),
        &config(s3.config()).origin,
    );
    let list = refused.expect("a store").list("", None).await;
    assert!(matches!(list, Err(StoreError::Denied(_))), "{list:?}");
}
